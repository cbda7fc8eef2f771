"""What each wallet of the plan traded in all, as Polymarket counts it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec

from polybackfill import records
from polybackfill.kinds import key_source, proof, size, stored_table, wallets
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import coerce, endpoints, pagination, parsing, v2_envelope
from polybackfill.store import backlog_counts, client

_ROUTE = endpoints.USER_VOLUME
_SINCE_EVER = ("start", "1")
_TO_THE_END = ("end", str(records.MAX_SECOND))


class Volume(records.Row, gc=False):
    """One row of `api_volume_rows`: fills, shares and USD of a wallet."""

    wallet_address: str
    trade_count: int
    volume: float
    volume_usdc: float
    fetched_at: int
    version: int


class _Row(msgspec.Struct, gc=False):
    trade_count: int
    volume: float
    volume_usdc: float


_row = v2_envelope.RowReader(
    _Row,
    {"trade_count": coerce.integer, "volume": coerce.amount, "volume_usdc": coerce.amount},
    known=frozenset(("trade_count", "volume", "volume_usdc")),
)
_TABLE = stored_table.StoredTable(
    rows=(Volume,),
    inserted="api_volume_rows",
    stored="api_volume_rows",
    shown="api_volumes",
    key="wallet_address",
    version="max(version)",
    noted_key="concat('volumes ', wallet_address)",
)


def _walk(
    keys: tuple[str, ...], resume: pagination.Resume | None, context: pagination.RequestContext
) -> AsyncIterator[pagination.Page]:
    (wallet,) = keys
    params = (("user", records.show(wallet)), _SINCE_EVER, _TO_THE_END)
    query = pagination.FeedQuery(_ROUTE, params, wallet=wallet)
    response = pagination.SingleResponse(query, partial(_read, wallet))
    return pagination.follow(response, resume, context)


def _read(
    wallet: str, body: bytes, source: parsing.ResponseSource
) -> v2_envelope.ParsedRows[Volume]:
    def usable(row: _Row) -> Volume:
        return Volume(
            wallet_address=wallet,
            trade_count=row.trade_count,
            volume=row.volume,
            volume_usdc=row.volume_usdc,
            fetched_at=source.fetched_at,
            version=source.version,
        )

    return v2_envelope.parse_rows(v2_envelope.unpaged(body, source), _row, usable, source)


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    return size.Size(ahead.planned_wallets, ahead.planned_wallets, ahead.planned_wallets, 40)


KIND = unit_kind.Kind(
    name="volumes",
    route=_ROUTE,
    walk=unit_kind.by_keys(_walk),
    keys=key_source.PlannedWallets(add=wallets.add_traders),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        "SELECT wallet_address AS key FROM wallet_backfill_plan WHERE status != 'skip'",
        lost_units=proof.find_lost_by_key(
            "volumes", "wallet_address", "api_volume_rows", least="1"
        ),
    ),
)
