"""Rows of positions and resolutions, whatever JSON they are: used or set aside, never lost."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests import virtual_clock

from polybackfill import errors, records
from polybackfill.kinds import resolutions
from polybackfill.polymarket import pagination, parsing, position_parser

CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"
SOURCE = parsing.ResponseSource(route="/v2/positions", request="http://x", unit="u", fetched_at=1)
POSITION = {
    "proxy_wallet": "0x" + "4f" * 20,
    "condition_id": "0x" + CONDITION,
    "token_id": "77",
    "current_size": 1.5,
    "avg_price": 1.0089,
    "status": "OPEN",
    "outcome_index": 1,
    "last_event_at": 1_790_700_000,
}
RESOLUTION = {
    "condition_id": "0x" + CONDITION,
    "status": "resolved",
    "payouts": [1_000_000, 0],
    "resolved_at": "2026-09-28T18:31:07Z",
}

texts = st.text(st.characters(codec=None))  # lone surrogates and NUL among them
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def spoilt(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Anything, or a good row with some of its fields replaced by anything."""
    changes = st.dictionaries(st.sampled_from(sorted(good)), values, max_size=3)
    return values | changes.map(lambda changed: {**good, **changed})


def body_of(rows: list[Any]) -> bytes:
    # As this encoder writes it: NaN and Infinity are no JSON, but have been seen in the world.
    pagination = {"has_more": False, "next_cursor": None}
    return json.dumps({"data": rows, "pagination": pagination}).encode()


@given(st.lists(spoilt(POSITION), max_size=6))
def test_positions(rows: list[Any]) -> None:
    body = body_of(rows)
    try:
        answer = position_parser.page(body, SOURCE, status="OPEN", timestamp=2, version=5)
    except errors.Retry:
        assert "NaN" in body.decode() or "Infinity" in body.decode()
        return
    assert len(answer.rows) + len(answer.rejected) == answer.fetched_rows == len(rows)
    assert len({row.quarantine_id for row in answer.rejected}) == len(answer.rejected)
    assert all(row.reason for row in answer.rejected)
    lines = records.encode_lines(answer.rows)
    assert b"\\u0000" not in lines
    for line in lines.splitlines():
        kept = json.loads(line)
        assert kept["size"] >= 0
        assert len(kept["wallet_address"]) == 40
        assert len(kept["condition_id"]) == 64
        assert kept["entry_price"] != 0


@given(st.lists(spoilt(RESOLUTION), max_size=6))
async def test_resolutions(rows: list[Any]) -> None:
    body = body_of(rows)

    class Reply:
        url = "http://x"

        def __init__(self) -> None:
            self.body = body

    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply()

    context = pagination.RequestContext(fetch, virtual_clock.StoppedClock(1.0))
    pages = resolutions.walk_unit((CONDITION,), None, context)
    try:
        (page,) = [page async for page in pages]
    except errors.Retry:
        return  # a row of another condition, or no JSON at all
    kept, rejected = page.rows_of(resolutions.Resolution), page.rows_of(records.Rejected)
    assert page.fetched_rows == len(rows)
    assert len(kept) <= 1, "one row per condition"
    assert bool(kept) is (len(rejected) < len(rows))
    for line in records.encode_lines(kept).splitlines():
        assert all(payout >= 0 for payout in json.loads(line)["payouts"])


def test_a_good_row_is_read_as_it_is() -> None:
    source = SOURCE
    (row,) = position_parser.page(
        body_of([{**POSITION, "slug": "will-it\0", "avg_price": 0}]),
        source,
        status="OPEN",
        timestamp=2,
        version=5,
    ).rows
    assert row.entry_price is None
    assert row.market == "will-it"
    (row,) = position_parser.page(
        body_of([POSITION]), source, status="OPEN", timestamp=2, version=5
    ).rows
    assert (row.entry_price, row.outcome, row.size) == (1.0089, 1, 1.5)
