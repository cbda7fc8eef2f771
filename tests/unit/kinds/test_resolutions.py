"""Resolutions: payouts as delivered, "not yet" as a row, and no answer to another question."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from polybackfill import clocks, errors, records
from polybackfill.kinds import resolutions
from polybackfill.polymarket import pagination

CLOCK = clocks.SystemClock()


CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"


async def read(
    fetch: pagination.Fetch, *keys: str, resume: pagination.Resume | None = None
) -> pagination.Page:
    context = pagination.RequestContext(fetch, CLOCK)
    (page,) = [page async for page in resolutions.walk_unit(keys, resume, context)]
    assert page.last
    assert page.resume.ended
    return page


def found(page: pagination.Page) -> list[resolutions.Resolution]:
    return page.rows_of(resolutions.Resolution)


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str = "http://x/v2/resolutions"


def answering(*rows: object) -> pagination.Fetch:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply(json.dumps({"data": rows}).encode())

    return fetch


def row(**changes: Any) -> dict[str, Any]:
    return {
        "question_id": None,
        "condition_id": "0x" + CONDITION,
        "status": "resolved",
        "was_disputed": False,
        "payouts": [1_000_000, 0],
        "last_update_timestamp": "2026-09-28T18:31:07Z",
        "resolved_at": None,
        "transaction_hash": "",
        **changes,
    }


@pytest.mark.parametrize(
    ("micro", "usd"),
    [
        ([1_000_000, 0], [1.0, 0.0]),
        ([500_000, 500_000], [0.5, 0.5]),
        ([333_333, 666_667], [0.333333, 0.666667]),
        (["250000", 750000.0], [0.25, 0.75]),
        ([0, 0, 1_000_000], [0.0, 0.0, 1.0]),
        (None, []),
    ],
)
async def test_payouts_are_usd_a_share_as_delivered(micro: object, usd: list[float]) -> None:
    (kept,) = found(await read(answering(row(payouts=micro)), CONDITION))
    assert kept.payouts == usd


@pytest.mark.parametrize(
    ("written", "second"),
    [
        ({"resolved_at": "2026-09-28T18:31:07Z"}, 1_790_620_267),
        ({"resolved_at": "2026-09-28T18:31:07.25+00:00"}, 1_790_620_267),
        ({"last_update_timestamp": "2026-09-28 18:31:07+00"}, 1_790_620_267),
        ({"last_update_timestamp": "1790620267"}, 1_790_620_267),
        ({"last_update_timestamp": 1790620267}, 1_790_620_267),
        ({"last_update_timestamp": ""}, None),
        ({"last_update_timestamp": "soon"}, None),
        ({"status": "proposed"}, None),
    ],
)
async def test_instants_in_every_spelling(written: dict[str, object], second: int | None) -> None:
    (kept,) = found(await read(answering(row(**written)), CONDITION))
    assert kept.resolved_at == second


async def test_structural_ids_are_the_padded_ones_that_were_asked_for() -> None:
    structural = "01" + "ab" * 30
    page = await read(answering(row(condition_id="0x" + structural)), structural + "00")
    assert [kept.condition_id for kept in found(page)] == [structural + "00"]


async def test_of_two_rows_the_one_that_knows_more_is_kept() -> None:
    """A question's row beside its condition's."""
    posed = row(status="posed", payouts=None, last_update_timestamp="1790620999")
    for rows in ([posed, row()], [row(), posed]):
        (kept,) = found(await read(answering(*rows), CONDITION))
        assert kept.payouts == [1.0, 0.0]


@pytest.mark.parametrize("changes", [{"condition_id": None}, {"status": 3}, {"payouts": [-1, 2]}])
async def test_a_row_without_sense_is_set_aside(changes: dict[str, object]) -> None:
    page = await read(answering(row(), row(**changes)), CONDITION)
    assert len(found(page)) == 1
    (rejected,) = page.rows_of(records.Rejected)
    assert json.loads(rejected.raw) == row(**changes)
    assert rejected.reason


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":{}}', b'{"data":[', b"<html>"])
async def test_what_is_no_answer_is_asked_again(body: bytes) -> None:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply(body)

    with pytest.raises(errors.Retry):
        await read(fetch, CONDITION)


async def test_null_is_an_empty_answer() -> None:
    async def fetch(_feed: pagination.FeedQuery, _cursor: str | None) -> Reply:
        return Reply(b'{"data":null}')

    assert found(await read(fetch, CONDITION)) == []
