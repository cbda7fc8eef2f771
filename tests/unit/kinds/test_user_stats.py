"""What Polymarket says a wallet earned: figures as told, and what is not told is unknown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from polybackfill import clocks, errors, records
from polybackfill.kinds import user_stats
from polybackfill.polymarket import pagination

CLOCK = clocks.SystemClock()


WALLET = "9d84ce0306f8551e02efef1680475fc0f1dc1344"


async def read(
    fetch: pagination.Fetch, key: str = WALLET, resume: pagination.Resume | None = None
) -> pagination.Page:
    context = pagination.RequestContext(fetch, CLOCK)
    (page,) = [page async for page in user_stats.walk_unit((key,), resume, context)]
    assert page.last
    assert page.resume.ended
    return page


def found(page: pagination.Page) -> user_stats.UserStats:
    (row,) = page.rows_of(user_stats.UserStats)
    return row


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/v2/user-stats"


def answering(data: object) -> pagination.Fetch:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply(json.dumps({"data": data}).encode())

    return fetch


def refusing(status: int) -> pagination.Fetch:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        raise errors.GiveUp("refused", status=status)

    return fetch


def data(**figures: Any) -> dict[str, Any]:
    return {"proxy_wallet": f"0x{WALLET}", "trades": 3, "all_time_pnl": figures}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "unknown wallet"),
        ({"proxy_wallet": f"0x{WALLET}", "trades": 0, "all_time_pnl": None}, "no figures"),
        (data(economic_pnl=None), "figures"),
    ],
)
async def test_what_is_not_told_is_unknown_and_not_zero(answer: object, said: str) -> None:
    row = found(await read(answering(answer)))
    assert (row.answer, row.wallet_address) == (said, WALLET)
    assert {getattr(row, name) for name in user_stats.PARTS} == {None}


async def test_a_source_without_the_route_is_said_to_serve_none() -> None:
    """The API answers 404 to an unknown route alone; any other refusal is the unit's."""
    assert found(await read(refusing(404))).answer == "not served"
    with pytest.raises(errors.GiveUp):
        await read(refusing(400))


async def test_figures_come_in_any_form_and_what_is_none_is_set_aside() -> None:
    row = found(await read(answering(data(economic_pnl="-12.5", fees=3, trade_count="7"))))
    assert (row.economic_pnl, row.fees, row.trade_count) == (-12.5, 3.0, 7)
    for broken in ("many", True, 1e300):
        page = await read(answering(data(economic_pnl=broken)))
        (rejected,) = page.rows_of(records.Rejected)
        assert rejected.reason.startswith("economic_pnl: ")


async def test_the_figure_of_another_wallet_is_no_answer() -> None:
    with pytest.raises(errors.Retry, match="another wallet"):
        await read(answering(data() | {"proxy_wallet": "0x" + "ab" * 20}))
