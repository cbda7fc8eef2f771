"""One market for each odd case."""

from __future__ import annotations

from polymarket_sandbox import catalog, fake_text, fees, markets
from polymarket_sandbox.markets import DAY, WON_FIRST, WON_SECOND, YEAR, YES_NO

BINARY_MODULE, NEG_RISK_MODULE = 1, 2

SPECIAL_MARKETS = (
    "market_busy_second",
    "market_old",
    "market_old_tied",
    "market_three_outcomes",
    "market_no_condition",
    "market_no_condition_key",
    "market_events_null",
    "market_events_absent",
    "market_unlisted",
    "market_v2_binary",
    "market_v2_neg_risk",
    "market_untraded",
    "market_end_in_past",
    "market_no_end",
    "market_no_dates",
    "market_zero_zero",
    "market_archived",
    "market_inactive",
    "market_closed_unresolved",
    "market_part_payout",
    "market_gamma_disagrees",
    "market_clob_disagrees",
    "market_resolution_disagrees",
)
_WITHOUT_EVENT = ("market_no_condition", "market_events", "market_unlisted")
_SETTLED_LATELY = (
    "market_busy_second",
    "market_unlisted",
    "market_zero_zero",
    "market_inactive",
    "market_closed_unresolved",
    "market_part_payout",
    "market_gamma_disagrees",
    "market_clob_disagrees",
    "market_resolution_disagrees",
)
_TAGS = (("Politics",), ("Earnings", "Finance"), ("Weather",), ("Crypto",), ("All",))


def add(draft: markets.CatalogDraft) -> None:
    """All special markets, and the strange titles."""
    for number, name in enumerate(SPECIAL_MARKETS):
        _special(draft, name, tags=_TAGS[number % len(_TAGS)])
    for title in fake_text.STRANGE_TITLES:
        markets.new_event(draft, title, [markets.binary(draft, title)], tags=("Culture",))


def _special(draft: markets.CatalogDraft, name: str, *, tags: tuple[str, ...]) -> None:
    """One edge case; its name in `draft.special` finds it again."""
    title = f"Sandbox {name.removeprefix('market_').replace('_', ' ')}?"
    outcomes = ("Win", "Draw", "Lose") if name == "market_three_outcomes" else YES_NO
    module = {"market_v2_binary": BINARY_MODULE, "market_v2_neg_risk": NEG_RISK_MODULE}.get(name)
    market = markets.new_market(
        draft, title, outcomes, module=module, neg_risk=module == NEG_RISK_MODULE
    )
    draft.special[name] = market.id
    markets.set_trading_window(draft, market, *_window(draft, name))
    _settle(market, name)
    if not name.startswith(_WITHOUT_EVENT):
        markets.new_event(draft, title, [market], tags=tags)
    _disfigure(draft, name, market)


def _window(draft: markets.CatalogDraft, name: str) -> tuple[int, int]:
    now, rng = draft.now, draft.rng
    if name.startswith("market_old"):
        first = now - 5 * YEAR + rng.randint(0, 90) * DAY
        return first, now - 3 * YEAR - 40 * DAY
    if name in _SETTLED_LATELY:
        return now - 20 * DAY, now - 12 * DAY
    if name in {"market_three_outcomes", "market_v2_binary"}:
        return now - 90 * DAY, now - 10 * DAY
    return now - 120 * DAY, now + rng.randint(30, 300) * DAY


def _settle(market: catalog.Market, name: str) -> None:
    """Payouts, and what the lists say instead."""
    if name == "market_old_tied":
        market.payouts, market.uma_status = markets.TIED, "resolved"
    elif name == "market_closed_unresolved":
        market.payouts, market.uma_status = (), "proposed"
    elif name == "market_part_payout":
        market.payouts, market.uma_status = markets.PART_PAYOUTS[0], "resolved"
    elif name == "market_zero_zero":
        market.said_by_gamma = (0, 0)
    elif name == "market_gamma_disagrees":
        market.payouts, market.said_by_gamma = WON_FIRST, WON_SECOND
    elif name == "market_clob_disagrees":
        market.payouts, market.said_by_clob = WON_FIRST, WON_SECOND
    elif name == "market_resolution_disagrees":
        market.payouts = WON_SECOND
        market.said_by_gamma = market.said_by_clob = WON_FIRST


def _disfigure(draft: markets.CatalogDraft, name: str, market: catalog.Market) -> None:
    """What the special markets lack or carry; section 11 of the API's nullability table."""
    if name.startswith("market_no_condition"):
        market.condition_id, market.question_id, market.token_ids = "", "", ()
    elif name == "market_unlisted":
        market.listed, market.active = False, False
        market.tags = (draft.tag_ids["Crypto"],)
        market.fee_subject = fees.CRYPTO
    elif name == "market_end_in_past":
        market.end = draft.now - 30 * DAY
    elif name == "market_no_end":
        market.end = 0
    elif name == "market_no_dates":
        market.start = market.end = 0
    elif name == "market_archived":
        market.archived = True
    elif name == "market_inactive":
        market.active = False
