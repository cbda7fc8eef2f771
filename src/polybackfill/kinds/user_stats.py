"""What Polymarket itself says a wallet earned: one request, one row per wallet.

`/v2/user-stats` answers with the figure of all time and its parts, null for a wallet that nobody
knows. The route is the newest of the API: a source that does not serve it answers 404, which it
never does to a wallet, and then the figure is stored as not served: unknown, and not zero. Field
meanings: docs.polymarket.com/api-reference (data-api v2, user-stats), read 2026-11.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import msgspec

from polybackfill import errors, records, settings
from polybackfill.kinds import key_source, proof, size, stored_table, wallets
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import coerce, endpoints, pagination, parsing, v2_envelope
from polybackfill.store import backlog_counts, client

FIGURES, NO_FIGURES = "figures", "no figures"
UNKNOWN_WALLET, NOT_SERVED = "unknown wallet", "not served"
NOT_FOUND = 404
# Parts of the figure, in USD but for `volume` (shares): fields of the API and columns of the table.
PARTS = (
    "economic_pnl",
    "trade_pnl",
    "position_pnl",
    "settled_pnl",
    "realized_pnl",
    "realized_market_pnl",
    "realized_lp_pnl",
    "realized_combo_pnl",
    "unrealized_pnl",
    "fees",
    "fees_paid",
    "fees_refunded",
    "wallet_income",
    "maker_rebate",
    "taker_rebate",
    "reward_income",
    "yield_income",
    "referral_income",
    "sponsored_income",
    "deposits",
    "withdrawals",
    "cashflow_net",
    "volume",
    "volume_usdc",
)
KNOWN_FIELDS = frozenset(
    ("proxy_wallet", "trades", "biggest_win", "views", "join_date", "all_time_pnl")
)


class UserStats(records.Row, gc=False, kw_only=True):
    """One row of `api_user_stat_rows`: what Polymarket says a wallet earned, of all time.

    `answer`: one of the four named above. Figures in USD but for `volume`, in shares; None
    where it tells none. `markets` it traded in, `trade_count` fills; `counted_at`: second up to
    which the figures count.
    """

    wallet_address: str
    answer: str
    markets: int | None = None
    trade_count: int | None = None
    biggest_win: float | None = None
    joined_at: int | None = None
    counted_at: int | None = None
    economic_pnl: float | None = None
    trade_pnl: float | None = None
    position_pnl: float | None = None
    settled_pnl: float | None = None
    realized_pnl: float | None = None
    realized_market_pnl: float | None = None
    realized_lp_pnl: float | None = None
    realized_combo_pnl: float | None = None
    unrealized_pnl: float | None = None
    fees: float | None = None
    fees_paid: float | None = None
    fees_refunded: float | None = None
    wallet_income: float | None = None
    maker_rebate: float | None = None
    taker_rebate: float | None = None
    reward_income: float | None = None
    yield_income: float | None = None
    referral_income: float | None = None
    sponsored_income: float | None = None
    deposits: float | None = None
    withdrawals: float | None = None
    cashflow_net: float | None = None
    volume: float | None = None
    volume_usdc: float | None = None
    fetched_at: int
    version: int


class _Row(msgspec.Struct, gc=False):
    proxy_wallet: str
    trades: int | None = None
    biggest_win: float | None = None
    join_date: int | None = None
    all_time_pnl: dict[str, object] | None = None


def _object(value: object) -> coerce.Json | None:
    if coerce.is_none(value) or isinstance(value, dict):
        return value if isinstance(value, dict) else None
    raise errors.Reject("not an object")


_row = v2_envelope.RowReader(
    _Row,
    {
        "proxy_wallet": coerce.name,
        "trades": coerce.integer,
        "biggest_win": coerce.amount,
        "join_date": coerce.second,
        "all_time_pnl": _object,
    },
    known=KNOWN_FIELDS,
)


async def walk_unit(
    keys: tuple[str, ...],
    resume: pagination.Resume | None,
    context: pagination.RequestContext,
) -> AsyncIterator[pagination.Page]:
    """The figure of one wallet (40 hex digits), in one page.

    Raises Retry for a response about another wallet, and what `fetch` raises.
    """
    (wallet,) = keys
    response = pagination.SingleResponse(build_query(wallet), partial(read, wallet))
    try:
        async for page in pagination.follow(response, resume, context):
            yield page
    except errors.GiveUp as refusal:
        if refusal.status != NOT_FOUND:
            raise
        clock = context.clock
        nothing = _without_figures(wallet, NOT_SERVED, int(clock.now()), clock.tick())
        ended = pagination.Resume(feed=response.resume.feed, ended=True)
        yield pagination.Page(([nothing],), ended, fetched_rows=0)


def build_query(wallet: str) -> pagination.FeedQuery:
    """The question about a wallet (normalised)."""
    params = (("user", records.show(wallet)),)
    return pagination.FeedQuery(endpoints.USER_STATS, params, wallet=wallet)


def read(
    wallet: str, body: bytes, source: parsing.ResponseSource
) -> v2_envelope.ParsedRows[UserStats]:
    """The rows of an answer, each used or set aside; one row in any case. Raises Retry when it is
    no answer, or one about another wallet.
    """
    raw_rows = v2_envelope.unpaged(body, source)
    if not raw_rows:
        nobody = _without_figures(wallet, UNKNOWN_WALLET, source.fetched_at, source.version)
        return v2_envelope.ParsedRows(rows=[nobody])

    def usable(row: _Row) -> UserStats:
        return _stats(row, source)

    parsed = v2_envelope.parse_rows(raw_rows, _row, usable, source)
    if {row.wallet_address for row in parsed.rows} - {wallet}:
        raise errors.Retry(f"{source.route}: the figure of another wallet")
    parsed.seconds = [row.counted_at for row in parsed.rows if row.counted_at is not None]
    return parsed


def _stats(row: _Row, source: parsing.ResponseSource) -> UserStats:
    figures: coerce.Json = row.all_time_pnl or {}
    parts = {name: coerce.named(name, coerce.amount, figures.get(name)) for name in PARTS}
    return UserStats(
        wallet_address=records.normalise_wallet(row.proxy_wallet),
        answer=NO_FIGURES if row.all_time_pnl is None else FIGURES,
        markets=row.trades,
        biggest_win=coerce.named("biggest_win", coerce.amount, row.biggest_win),
        joined_at=coerce.second(row.join_date),
        counted_at=coerce.second(figures.get("timestamp")),
        trade_count=coerce.named("trade_count", coerce.integer, figures.get("trade_count")),
        **parts,
        fetched_at=source.fetched_at,
        version=source.version,
    )


def _without_figures(wallet: str, answer: str, fetched_at: int, version: int) -> UserStats:
    return UserStats(wallet_address=wallet, answer=answer, fetched_at=fetched_at, version=version)


_BYTES = 150  # on disk, measured
_TABLE = stored_table.StoredTable(
    rows=(UserStats,),
    inserted="api_user_stat_rows",
    stored="api_user_stat_rows",
    shown="api_user_stats",
    key="wallet_address",
    version="max(version)",
    noted_key="concat('user-stats ', wallet_address)",
)


def _count_wallets(backfill: settings.BackfillSettings) -> int:
    return backfill.official_wallets


async def _estimate(store: client.Store, ahead: backlog_counts.Outlook) -> size.Size:
    del store
    asked_for = min(ahead.planned_wallets, ahead.bounds.official)
    return size.Size(asked_for, asked_for, asked_for, _BYTES)


KIND = unit_kind.Kind(
    name="user-stats",
    route=endpoints.USER_STATS,
    walk=unit_kind.by_keys(walk_unit),
    keys=key_source.PlannedWallets(add=wallets.add_traders, most=_count_wallets),
    key_flag="wallets",
    needed_for=("wallets",),
    tables=(_TABLE,),
    estimate=_estimate,
    proof=proof.EachKey(
        # How many of the plan are read is a setting of the run, so what was ever begun counts.
        "SELECT wallet_address AS key FROM api_user_stats",
        is_optional=True,
        lost_units=proof.find_lost_by_key(
            "user-stats", "wallet_address", "api_user_stat_rows", least="1"
        ),
    ),
)
