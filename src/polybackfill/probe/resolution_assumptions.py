"""What the program takes for granted about `/v2/resolutions`."""

from __future__ import annotations

from collections.abc import Sequence

from polybackfill import formats, units
from polybackfill.kinds import resolutions
from polybackfill.probe import pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Answer, Evidence, Json, Page, Unseen

KNOWN_FIELDS = resolutions.KNOWN_FIELDS
_KINDS = ("resolutions",)
_WHOLE_PAYOUT = 1_000_000  # millionths of a USD that the outcomes of a condition pay together


async def _batch(evidence: Evidence) -> tuple[list[str], Answer]:
    """Closed conditions, and the answer about these and one that nobody knows."""
    listed = await samples.closed_conditions(evidence, units.MAX_KEYS_PER_BATCH - 1)
    feed = resolutions.build_query([*listed, samples.NOTHING])
    return listed, await evidence.first(feed)


async def page(evidence: Evidence) -> Page:
    """Resolutions of closed conditions; there is never a second page. Raises Unseen."""
    _, answer = await _batch(evidence)
    rows = answer.fields.get("data")
    if not isinstance(rows, list):
        raise Unseen("the answer holds no rows")
    return Page([row for row in rows if isinstance(row, dict)], None, answer)


async def _rows(evidence: Evidence) -> tuple[list[str], Sequence[Json]]:
    return (await _batch(evidence))[0], (await page(evidence)).rows


async def _fields(evidence: Evidence) -> str:
    _, answer = await _batch(evidence)
    shape = f"an answer with {', '.join(answer.fields) or 'no fields'}"
    pages.require(isinstance(answer.fields.get("data", ""), list | None), shape)
    parsed = resolutions.read(answer.body, answer.source)
    return pages.check_usable(parsed.fetched_rows, [row.reason for row in parsed.rejected])


async def _condition(evidence: Evidence) -> str:
    listed, rows = await _rows(evidence)
    others = {pages.condition_of(row) for row in rows} - set(listed)
    pages.require(bool(rows), f"no row for {len(listed)} closed conditions")
    return pages.require(not others, f"{formats.counted(len(rows), 'row')}, {len(others)} others")


async def _several(evidence: Evidence) -> str:
    listed, rows = await _rows(evidence)
    answered = {pages.condition_of(row) for row in rows}
    left_out = [condition for condition in listed if condition not in answered]
    single = (left_out or listed)[0]
    feed = resolutions.build_query([single])
    alone = (await evidence.first(feed)).fields.get("data") or []
    known = isinstance(alone, list) and bool(alone)
    seen = f"{len(answered)} of {len(listed)} ids answered"
    pages.require(not (left_out and known), f"{seen}; one left out is known alone")
    return seen


async def _payouts(evidence: Evidence) -> str:
    _, rows = await _rows(evidence)
    paid = [row for row in rows if isinstance(row.get("payouts"), list) and row.get("payouts")]
    if not paid:
        raise Unseen("no condition with payouts")
    sums = [sum(map(pages.number_of, _list(row))) for row in paid]
    whole = sum(abs(total - _WHOLE_PAYOUT) <= 1 for total in sums)
    final = sum(row.get("status") == resolutions.RESOLVED for row in paid)
    seen = f"{whole} of {len(paid)} pay 1 USD in millionths, {final} say resolved"
    return pages.require(2 * whole > len(paid) and 2 * final > len(paid), seen)


def _list(row: Json) -> list[object]:
    payouts = row.get("payouts")
    return payouts if isinstance(payouts, list) else []


async def _unknown(evidence: Evidence) -> str:
    _, rows = await _rows(evidence)
    made_up = sum(pages.condition_of(row) == samples.NOTHING for row in rows)
    return pages.require(not made_up, f"{formats.counted(made_up, 'row')} for an unknown id")


ASSUMPTIONS = (
    Assumption(
        "resolutions.fields",
        "/v2/resolutions?condition=(20 ids)",
        "{data}, rows with the fields that the parser needs",
        "every stored resolution",
        _KINDS,
        True,
        _fields,
    ),
    Assumption(
        "resolutions.condition",
        "/v2/resolutions?condition=(20 ids)",
        "rows of these conditions alone, and there are some",
        "resolutions: an ignored filter would answer for another market",
        _KINDS,
        True,
        _condition,
    ),
    Assumption(
        "resolutions.several",
        "/v2/resolutions?condition=(20 ids), and one of them",
        "what is known alone is known among 20",
        "resolutions: an id without a row is not known yet",
        _KINDS,
        True,
        _several,
    ),
    Assumption(
        "resolutions.payouts",
        "/v2/resolutions?condition=(20 ids)",
        "millionths of a USD a share, 1,000,000 in all; status resolved",
        "payouts, and the profits made of them",
        _KINDS,
        True,
        _payouts,
    ),
    Assumption(
        "resolutions.unknown",
        "/v2/resolutions?condition=(20 ids, one of them unknown)",
        "no row for an id that nobody knows, and no error",
        "conditions without a resolution are done, not in error",
        _KINDS,
        False,
        _unknown,
    ),
)
