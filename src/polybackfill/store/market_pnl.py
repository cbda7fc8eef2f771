"""What every wallet did in every market, in SQL: `wallet_market_pnl`, whose sums all profits are.

One stream of changes (fills, every other activity, positions as the API lists them) is grouped by
wallet and market once. Cash is added up in billionths of a USD and shares in millionths, as
integers; a profit is rounded once, to millionths: no order of rows changes a figure.

Held to resolution counts fills of resolved markets alone: net shares times payout, minus what was
paid net. Net shares below zero count as they are: a split made them, whose pair costs 1 USD and
pays 1 USD. The economic profit is all cash in and out, and what is held; see docs/analytics.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from chdb_http import statements
from polybackfill.polymarket import contracts
from polybackfill.store import query_files, taxonomy

_USD = "toDecimal128({micro}, 0) * toDecimal128('0.000001', 6)"
_KINDS = (
    "buy", "sell", "split", "merge", "redemption", "conversion", "unmatched conversion", "reward",
    "rebate", "yield", "position", "migration", "combos", "unknown activity",
)  # fmt: skip
_CASH = ("split", "merge", "redemption", "conversion", "reward", "rebate", "yield")
# Kinds that a figure leaves out: each is a reason of its own.
_LEFT_OUT = ("unmatched conversion", "migration", "combos", "unknown activity")
# The types of /v2/activity that are counted, or move nothing but the wallet's own money.
_KNOWN_TYPES = (
    "TRADE", "SPLIT", "MERGE", "REDEEM", "CONVERSION", "REWARD", "REFERRAL_REWARD", "MAKER_REBATE",
    "TAKER_REBATE", "YIELD", "DEPOSIT", "WITHDRAWAL",
)  # fmt: skip

# Why a figure is not exact, beside what _LEFT_OUT names. They are told as one number of a bit each,
# and put into words where a bit is set: eight texts a row took a tenth of the whole query.
_REASONS = {
    "unknown fees": "num_fills > num_fills_with_fee",
    "unread history": "NOT is_read",
    "unknown outcome": "unplaced > 0",
    "unknown amount": "unknown_amounts > 0",
    "unknown price": "is_unpriced",
    "disputed result": "is_disputed AND arrayExists(micro -> micro != 0, held)",
    "transfer": "is_short",
    "position differs": """is_watched AND arrayExists((micro, listed, rate) ->
        abs(micro - listed) > greatest(1000, 1e-6 * listed)
        AND NOT (is_resolved AND rate = 0 AND micro >= 0)
        AND NOT (listed = 0 AND micro BETWEEN -10000 AND 0)
        AND NOT (listed = 0 AND micro > 0 AND (micro < 100000 OR is_hidden)),
        held, listed_micro, rates)""",
}

_SELECT = query_files.read("wallet_market_pnl")

_CHANGED = query_files.read("changes_by_wallet_and_market")

_CHANGES = query_files.read("changes_of_holdings")

# Tokens of markets some of whose trades came before the API knew their outcome, with the outcome
# each stands for. There are few.
_TOKENS = """
SELECT (arrayConcat([''], groupArray(token)), arrayConcat([toInt32(-1)], groupArray(place)))
FROM
(
    SELECT token, toInt32(number - 1) AS place
    FROM market_tokens ARRAY JOIN token_ids AS token, arrayEnumerate(token_ids) AS number
    WHERE condition_id IN (SELECT condition_id FROM external_trades_raw WHERE outcome_index < 0)
)
"""

# By outcome, of the first two and of those beyond: see _CHANGED.
_BY_OUTCOME = """
if(empty(others), arrayResize({two}, outcomes), arrayMap(
    (micro, place) -> micro + arraySum(one -> one.1 + 1 = place ? one.{field} : 0, others),
    arrayResize({two}, outcomes), range(1, 1 + outcomes)))
"""

_MARKETS = query_files.read("markets_with_payouts")


def select() -> str:
    """The SELECT that `wallet_market_pnl` is made of."""
    kinds = ", ".join(f"''{kind}'' = {number}" for number, kind in enumerate(_KINDS))
    micro = "toInt64(round(if(abs({0}) < 1e12, {0}, 0) * 1e6))"
    changes = _CHANGES.format(
        tokens=_TOKENS,
        kinds=f"Enum8({kinds})".replace("''", "\\'"),
        micro=micro.format("shares"),
        listed=micro.format("size"),
        known_types=_literals(_KNOWN_TYPES),
    )
    changed = _CHANGED.format(
        contracts=_literals(contracts.CONTRACTS),
        changes=changes,
    )
    usd = {kind: _usd(f"round({kind}_nano / 1e3)") for kind in _CASH}
    nano = "arraySum(one -> one.1 = '{0}' ? one.4 : 0, told) AS {0}_nano"
    return _SELECT.format(
        **usd,
        cash=",\n        ".join(nano.format(kind) for kind in _CASH),
        left_out=_literals(_LEFT_OUT),
        bought=_usd("round(bought_nano / 1e3)"),
        sold=_usd("round(sold_nano / 1e3)"),
        fees=_usd("fee_micro"),
        value=_usd("round(toFloat64(value_atto) / 1e12)"),
        economic=_usd("economic_micro"),
        pnl=_usd("pnl_micro"),
        net=_BY_OUTCOME.format(two="[net_yes, net_no]", field=2),
        held=_BY_OUTCOME.format(two="[held_yes, held_no]", field=3),
        listed_by_outcome=_BY_OUTCOME.format(two="[listed_yes, listed_no]", field=4),
        whole=f"toInt128({10**12})",
        reasons=_literals(_REASONS),
        reason_bits=" + ".join(f"{1 << n} * ({sql})" for n, sql in enumerate(_REASONS.values())),
        uncategorized=statements.quoted(taxonomy.UNCATEGORIZED),
        changed=changed,
        markets=_MARKETS,
    )


def _usd(micro: str) -> str:
    return _USD.format(micro=f"toInt64({micro})")


def _literals(texts: Iterable[str]) -> str:
    return ", ".join(statements.quoted(text) for text in texts)
