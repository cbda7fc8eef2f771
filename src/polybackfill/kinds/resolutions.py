"""How far the resolution of some conditions has come: one request, one row per condition.

The API answers with a row for what it knows, resolved or not, so that `active` is a proven "not
yet". An id it does not know is absent, which is no error. Field meanings:
docs.polymarket.com/api-reference (data-api v2, resolutions), read 2026-11.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial

import msgspec

from polybackfill import errors, records, units
from polybackfill.kinds import key_source, proof, size, stored_table
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import coerce, endpoints, pagination, parsing, v2_envelope
from polybackfill.store import backlog_counts, client, discovery

RESOLVED = "resolved"
KNOWN_FIELDS = frozenset(
    (
        "question_id",
        "condition_id",
        "status",
        "extended_review",
        "expected_settlement_time",
        "settlement_time_basis",
        "was_disputed",
        "new_version_q",
        "proposed_price",
        "reproposed_price",
        "price",
        "transaction_hash",
        "log_index",
        "last_update_timestamp",
        "market_type",
        "payouts",
        "resolution_source",
        "reporter",
        "was_arbitrated",
        "resolved_block",
        "resolved_at",
    )
)


class Resolution(records.Row, gc=False):
    """One row of `api_resolution_rows`: how far a condition's resolution has come.

    `payouts`: USD a share of each outcome pays, empty while nobody knows.
    """

    condition_id: str
    question_id: str
    status: str
    payouts: list[float]
    resolution_source: str
    reporter: str
    market_type: str
    was_disputed: bool
    resolved_at: int | None
    tx_hash: str
    fetched_at: int
    version: int


class _Row(msgspec.Struct, gc=False):
    condition_id: str
    status: str
    question_id: str | None = None
    payouts: list[float] | None = None
    resolution_source: str | None = None
    reporter: str | None = None
    market_type: str | None = None
    was_disputed: bool | None = None
    resolved_at: str | float | None = None
    last_update_timestamp: str | float | None = None
    transaction_hash: str | None = None


_row = v2_envelope.RowReader(
    _Row,
    {
        "condition_id": coerce.name,
        "status": coerce.word,
        "question_id": coerce.text,
        "payouts": coerce.amounts,
        "resolution_source": coerce.text,
        "reporter": coerce.text,
        "market_type": coerce.text,
        "was_disputed": coerce.flag,
        "resolved_at": coerce.second,
        "last_update_timestamp": coerce.second,
        "transaction_hash": coerce.text,
    },
    known=KNOWN_FIELDS,
)


def walk_unit(
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """The resolutions of up to 20 conditions (64 hex digits), in one page.

    Raises Retry for an answer about a condition that was not asked for, and what `fetch` raises.
    """
    query = build_query(keys)
    response = pagination.SingleResponse(query, partial(_read_response, query))
    return pagination.follow(response, resume, context)


def build_query(conditions: Iterable[str]) -> pagination.FeedQuery:
    """The question about some conditions (normalised)."""
    keys = sorted(set(map(records.padded, conditions)))
    params = (("condition", records.show_conditions(keys)),)
    return pagination.FeedQuery(endpoints.RESOLUTIONS, params, conditions=frozenset(keys))


def read(body: bytes, source: parsing.ResponseSource) -> v2_envelope.ParsedRows[Resolution]:
    """The rows of an answer, each used or set aside. Raises Retry when it is none."""

    def usable(row: _Row) -> Resolution:
        return _resolution(row, source)

    return v2_envelope.parse_rows(v2_envelope.unpaged(body, source), _row, usable, source)


def _read_response(
    query: pagination.FeedQuery, body: bytes, source: parsing.ResponseSource
) -> v2_envelope.ParsedRows[Resolution]:
    parsed = read(body, source)
    if {row.condition_id for row in parsed.rows} - query.conditions:
        raise errors.Retry(f"{source.route}: rows of another condition")
    parsed.seconds = [row.resolved_at for row in parsed.rows if row.resolved_at is not None]
    parsed.rows = _one_each(parsed.rows)
    return parsed


def _one_each(rows: Iterable[Resolution]) -> list[Resolution]:
    """A condition may have a row of its own and one of its question: the one that knows more."""
    best: dict[str, Resolution] = {}
    for row in rows:
        known = best.setdefault(row.condition_id, row)
        if _knowledge(row) > _knowledge(known):
            best[row.condition_id] = row
    return list(best.values())


def _knowledge(row: Resolution) -> tuple[bool, bool, int]:
    return bool(row.payouts), row.status == RESOLVED, row.resolved_at or 0


def _resolution(row: _Row, source: parsing.ResponseSource) -> Resolution:
    status = v2_envelope.clean_text(row.status).strip().lower()
    if not status:
        raise errors.Reject("status: missing")
    resolved_at = coerce.second(row.resolved_at)
    if resolved_at is None and status == RESOLVED:
        resolved_at = coerce.second(row.last_update_timestamp)
    return Resolution(
        condition_id=records.normalise_condition(row.condition_id),
        question_id=v2_envelope.clean_text(row.question_id).lower().removeprefix("0x"),
        status=status,
        payouts=[_usd(micro) for micro in row.payouts or ()],
        resolution_source=v2_envelope.clean_text(row.resolution_source),
        reporter=v2_envelope.clean_text(row.reporter),
        market_type=v2_envelope.clean_text(row.market_type),
        was_disputed=bool(row.was_disputed),
        resolved_at=resolved_at,
        tx_hash=v2_envelope.clean_text(row.transaction_hash).lower().removeprefix("0x"),
        fetched_at=source.fetched_at,
        version=source.version,
    )


def _usd(micro: float) -> float:
    """USD a share pays. Raises Reject for what is no payout, the text "nan" included."""
    if not 0 <= micro < coerce.AMOUNT_LIMIT:
        raise errors.Reject("payouts: negative or beyond any payout")
    return micro / records.MICRO


_BYTES = 60  # on disk, measured
_RESOLVED = "SELECT condition_id FROM api_resolution_rows WHERE status = 'resolved'"
_UNRESOLVED = f"""
SELECT condition_id FROM ({{shown}})
WHERE condition_id > {{{{after:String}}}} AND condition_id != ''
    AND condition_id NOT IN ({_RESOLVED})
ORDER BY condition_id LIMIT {{{{chunk:UInt32}}}}
"""
_OF_ALL = _UNRESOLVED.format(
    shown="SELECT condition_id FROM api_market_rows "
    "UNION DISTINCT SELECT condition_id FROM external_trades_raw"
)
_OF_LISTS = _UNRESOLVED.format(shown=discovery.LISTED_CONDITIONS)
_TABLE = stored_table.StoredTable(
    rows=(Resolution,),
    inserted="api_resolution_rows",
    stored="api_resolution_rows",
    shown="api_resolutions",
    key="condition_id",
    version="max(version)",
    digest=stored_table.Digest(
        "resolutions",
        "concat(condition_id, '|', arrayStringConcat("
        "arrayMap(x -> toString(toInt64(round(if(abs(x) < 1e12, x, 0) * 1e6))), payouts), ','))",
        where="status = 'resolved'",
    ),
    noted_key="concat('resolution ', condition_id)",
)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    if ahead.bounds.listed_only:
        unresolved = await discovery.count_conditions(store, _OF_LISTS)
    else:
        (row,) = await store.rows(f"SELECT uniqExact(condition_id) AS n FROM ({_RESOLVED})")
        unresolved = ahead.bounds.count_taken(max(0, ahead.markets - int(row["n"])))
    return size.Size(
        units=unresolved,
        requests=KIND.requests(unresolved),
        rows=None if ahead.finds_markets else unresolved,
        row_bytes=_BYTES,
    )


KIND = unit_kind.Kind(
    name="resolutions",
    route=endpoints.RESOLUTIONS,
    walk=unit_kind.by_keys(walk_unit),
    keys_per_request=units.MAX_KEYS_PER_BATCH,
    keys=key_source.MissingConditions("api_resolution_rows", _OF_ALL, _OF_LISTS),
    key_flag="conditions",
    needed_for=("wallets", "conditions"),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        "SELECT condition_id AS key FROM api_market_rows WHERE condition_id != '' "
        "UNION DISTINCT SELECT condition_id AS key FROM external_trades_raw",
        # It is final: what is stored is not asked for again.
        settled="SELECT condition_id AS key FROM api_resolutions WHERE status = 'resolved'",
        lost_units=proof.find_lost_by_key(
            "resolutions", "condition_id", "api_resolution_rows", least="least(any(rows), count())"
        ),
    ),
)
