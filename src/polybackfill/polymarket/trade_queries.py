"""Questions to the feeds of trades: what a wallet did, and what was traded in some conditions."""

from __future__ import annotations

from collections.abc import Iterable

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, pagination, response_source, v2_envelope


def build_wallet_query(
    wallet: str, since: int | None = None, until: int | None = None
) -> pagination.FeedQuery:
    """Everything a wallet (normalised) ever did, oldest first.

    `start` must be sent: without it the API shows the last three years only.
    """
    params = [("user", records.show(wallet)), ("start", str(max(1, since or 1)))]
    if until is not None:
        params.append(("end", str(until)))
    params += [
        ("exclude_deposits_withdrawals", "false"),
        ("limit", str(endpoints.PAGE_ROWS)),
        ("sort_direction", "ASC"),
    ]
    return pagination.FeedQuery(
        route=endpoints.ACTIVITY,
        params=tuple(params),
        wallet=wallet,
        descending=False,
        since=since,
        until=until,
    )


def build_condition_query(
    conditions: Iterable[str], since: int | None = None, until: int | None = None
) -> pagination.FeedQuery:
    """Both sides of every fill of up to 20 conditions (normalised), newest first.

    A market feed ignores start and end, so they are not sent: the walk filters, and stops early.
    """
    keys = sorted(set(map(records.padded, conditions)))
    return pagination.FeedQuery(
        route=endpoints.TRADES,
        params=(
            ("condition", records.show_conditions(keys)),
            ("taker_only", "false"),
            ("limit", str(endpoints.PAGE_ROWS)),
        ),
        conditions=frozenset(keys),
        descending=True,
        since=since,
        until=until,
    )


def parse_seconds(body: bytes, url: str) -> list[int]:
    """The times of the fills of a page, in its order. Raises Retry when it is no page."""
    try:
        _, raw_rows = v2_envelope.raw_page(body)
        rows = [coerce.row(bytes(raw), {"timestamp": coerce.second}) for raw in raw_rows]
    except (*response_source.NOT_DECODABLE, errors.Reject) as problem:
        raise errors.Retry(f"{url} answered no fills: {problem}") from problem
    return [row["timestamp"] for row in rows if isinstance(row["timestamp"], int)]
