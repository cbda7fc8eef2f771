"""How markets of the sandbox ended."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests import harness
from tests.unit.kinds.test_resolutions import found, read

from polybackfill import errors, records
from polybackfill.kinds import resolutions
from polybackfill.polymarket import pagination


async def test_every_condition_as_the_source_has_it(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    """Seed 004, P&L contract: fractional payouts, ties, resolved markets told from open ones."""
    keys = sorted(market["condition_id"].removeprefix("0x") for market in markets_of(sandbox))
    rows: list[resolutions.Resolution] = []
    for start in range(0, len(keys), 20):
        page = await read(fetch, *keys[start : start + 20])
        assert not page.rows_of(records.Rejected)
        assert not page.unknown_fields
        rows += found(page)
    assert sorted(row.condition_id for row in rows) == keys
    resolved = [row for row in rows if row.status == "resolved"]
    truth = sandbox.truth([], keys)["resolutions"]
    assert digest_of(resolved) == {name: truth[name] for name in ("count", "digest")}
    assert all(row.resolved_at for row in resolved)
    for row in rows:
        if row.status != "resolved":
            assert (row.payouts, row.resolved_at) == ([], None)
    assert {row.status for row in rows} >= {"active", "resolved"}
    assert any(row.payouts == [0.5, 0.5] for row in resolved)


async def test_what_the_api_answers_at_once_is_not_asked_again(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    (key, *_) = (market["condition_id"].removeprefix("0x") for market in markets_of(sandbox))
    page = await read(fetch, key)
    sandbox.ask("stats/reset", {})
    again = await read(fetch, key, resume=page.resume)
    assert not again.rows
    assert sandbox.requests() == 0


async def test_a_condition_nobody_knows_is_simply_not_resolved(fetch: pagination.Fetch) -> None:
    assert found(await read(fetch, "ab" * 32)) == []


async def test_an_ignored_filter_is_no_answer(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    (key, *_) = (market["condition_id"].removeprefix("0x") for market in markets_of(sandbox))
    sandbox.faults({"kind": "wrong_rows", "route": "resolutions", "count": 1})
    with pytest.raises(errors.Retry, match="another condition"):
        await read(fetch, key)
    assert found(await read(fetch, key))


def markets_of(sandbox: harness.Sandbox) -> list[dict[str, Any]]:
    """All markets of the sandbox that have a condition."""
    return [market for market in sandbox.lines("markets") if market["condition_id"]]


def digest_of(rows: list[resolutions.Resolution]) -> dict[str, object]:
    """Count and digest as the sandbox's truth describes them."""
    total = 0
    for row in rows:
        payouts = ",".join(str(round(paid * 1e6)) for paid in row.payouts)
        line = f"{row.condition_id}|{payouts}".encode()
        total += int.from_bytes(hashlib.md5(line, usedforsecurity=False).digest()[:8], "big")
    return {"count": len(rows), "digest": str(total % 2**64)}
