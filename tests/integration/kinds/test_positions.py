"""What wallets of the sandbox hold."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests import harness
from tests.unit.kinds.test_positions import held, read

from polybackfill import clocks, errors, records
from polybackfill.polymarket import endpoints, pagination


def digest_of(rows: list[records.Position]) -> dict[str, object]:
    """Count and digest as the sandbox's truth describes them."""
    total = 0
    for row in rows:
        status = "CLOSED" if row.status == "CLOSED" else "OPEN"
        outcome = 999 if row.outcome == records.UNKNOWN_OUTCOME else row.outcome
        ids = f"{row.wallet_address}|{row.condition_id}|{outcome}|{row.asset_id}"
        line = f"{ids}|{status}|{round(row.size * 1e6)}".encode()
        total += int.from_bytes(hashlib.md5(line, usedforsecurity=False).digest()[:8], "big")
    return {"count": len(rows), "digest": str(total % 2**64)}


def big_wallet(sandbox: harness.Sandbox) -> str:
    return str(sandbox.ask("universe")["special"]["wallet_big"]).removeprefix("0x")


def truth_of(sandbox: harness.Sandbox, *wallets: str) -> dict[str, object]:
    found = sandbox.truth(wallets, [])["positions"]
    return {name: found[name] for name in ("count", "digest")}


async def persistently(attempt: pagination.Attempt[pagination.Result]) -> pagination.Result:
    for _ in range(20):
        try:
            return await attempt()
        except errors.Retry:
            continue
    raise AssertionError("20 tries were not enough")


@pytest.mark.parametrize("page_rows", [1000, 7])
async def test_every_position_of_every_wallet(
    sandbox: harness.Sandbox,
    fetch: pagination.Fetch,
    monkeypatch: pytest.MonkeyPatch,
    page_rows: int,
) -> None:
    """Seed 002, api_positions_staging + wallet backfill: all pages per wallet; dust included."""
    monkeypatch.setattr(endpoints, "PAGE_ROWS", page_rows)
    found = 0
    for wallet in sandbox.wallets:
        pages = await read(fetch, wallet.removeprefix("0x"))
        rows = held(pages)
        assert digest_of(rows) == truth_of(sandbox, wallet)
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        (end,) = pages[-1].rows_of(records.PositionsEnd)
        assert not any(page.rows_of(records.PositionsEnd) for page in pages[:-1])
        assert end.version <= min((row.version for row in rows), default=end.version)
        assert {row.timestamp for row in rows} <= {end.timestamp}
        assert not any(page.rows_of(records.Rejected) or page.unknown_fields for page in pages)
        found += len(rows)
    assert found > 500
    assert truth_of(sandbox, *sandbox.wallets)["count"] == found


async def test_a_reading_resumes_at_every_page(
    sandbox: harness.Sandbox, fetch: pagination.Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "PAGE_ROWS", 7)
    wallet = big_wallet(sandbox)
    whole = await read(fetch, wallet)
    assert len(whole) > 6
    for stop in range(len(whole)):
        resume = None if stop == 0 else whole[stop - 1].resume
        rest = await read(fetch, wallet, resume)
        assert len(rest) == len(whole) - stop
        assert digest_of(held([*whole[:stop], *rest])) == truth_of(sandbox, wallet)
        (end,) = rest[-1].rows_of(records.PositionsEnd)
        began = (whole if stop else rest)[0].rows_of(records.Position)[0].version
        assert end.version == began, "a resumed reading keeps the name it began with"
    (nothing,) = await read(fetch, wallet, whole[-1].resume)
    assert nothing.last
    assert nothing.rows == ()


async def test_a_quiet_wallet_costs_two_requests(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    class Later(clocks.SystemClock):
        """Days after the last event of this universe."""

        def now(self) -> float:
            return super().now() + 10 * 365 * 86_400

    wallet = sandbox.wallets[-1].removeprefix("0x")
    assert len(await read(fetch, wallet, clock=Later())) == 2
    (first, second) = await read(fetch, "ab" * 20, clock=Later())
    assert not first.rows[0]
    assert second.rows_of(records.PositionsEnd)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "wrong_rows", "count": 2},
        {"kind": "cursor_repeat", "count": 2},
        {"kind": "cursor_refused", "after": 2, "count": 1},
        {"kind": "cursor_refused", "after": 2, "count": 2},
        {"kind": "truncated", "count": 2},
        {"kind": "invalid_json", "count": 2},
        {"kind": "cut_json", "count": 2},
        {"kind": "bad_row", "count": 4},
        {"kind": "unknown_field", "count": 2},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault['count']}",
)
async def test_a_spoilt_answer_is_never_the_end(
    sandbox: harness.Sandbox,
    fetch: pagination.Fetch,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, Any],
) -> None:
    """Seed 002, api_positions_staging + wallet backfill: a wallet with an error is not passed
    over.
    """
    monkeypatch.setattr(endpoints, "PAGE_ROWS", 7)
    wallet = big_wallet(sandbox)
    sandbox.faults({"route": "positions", **fault})
    pages = await read(fetch, wallet, with_retries=persistently)
    assert sandbox.fired() == {fault["kind"]: fault["count"]}
    assert digest_of(held(pages)) == truth_of(sandbox, wallet)
    restarts = sum(page.restarted for page in pages)
    assert restarts == (fault["kind"] == "cursor_refused" and fault["count"] == 2)


async def test_a_question_that_is_refused_is_given_up(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    sandbox.faults({"kind": "400", "route": "positions"})
    with pytest.raises(errors.GiveUp):
        await read(fetch, sandbox.wallets[0].removeprefix("0x"))
