"""Edge cases of profit and loss: the markets that `--money-cases` adds to a universe.

Negative-risk events with conversions, markets whose redemptions are partial or worthless, and
settled markets of which a list says something else than the chain. Nobody trades here at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from polymarket_sandbox import catalog, markets
from polymarket_sandbox.markets import DAY, TIED, WON_FIRST, WON_SECOND, YES_NO
from polymarket_sandbox.position_events import REDEEM_PER_OUTCOME_SINCE

# 2025-12-01: before the first fees.
_FEES_FROM = 1_764_547_200
_TAGS = ("Politics", "Elections")


@dataclass
class MoneyMarkets:
    """Gamma ids by name. `events`: the markets of each negative-risk event in their order;
    `later`: the one that joined its event after the conversions; `singles`: all others."""

    events: dict[str, list[int]] = field(default_factory=dict)
    later: int = 0
    singles: dict[str, int] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        """All of them."""
        members = [number for event in self.events.values() for number in event]
        return [*members, *self.singles.values()]


@dataclass(frozen=True)
class StaleListing:
    """What the lists say of a settled market that pays `payouts`. `gamma`: its prices in millionths
    (() for quotes), `status` its UMA status; `gamma_open`: its row is older than the end; `clob`:
    whether the order book has the market; `resolution`: see `catalog.Market`."""

    payouts: tuple[int, ...]
    gamma: tuple[int, ...] | None
    status: str = "resolved"
    gamma_open: bool = False
    clob: bool = True
    resolution: str | None = catalog.NO_ROW


STALE_LISTINGS = {
    "near_one": StaleListing(WON_FIRST, (999_500, 500)),
    "amm": StaleListing(WON_SECOND, (0, 999_999), status="", clob=False),
    "still_open": StaleListing(WON_FIRST, (), status="", gamma_open=True),
    "disputed": StaleListing(WON_SECOND, (970_000, 30_000), status="disputed"),
    "disputed_everywhere": StaleListing(
        WON_SECOND, (970_000, 30_000), status="disputed", resolution="disputed"
    ),
    "no_payouts": StaleListing(WON_FIRST, (999_500, 500), resolution="resolved"),
    "tie": StaleListing(TIED, None),
    "fraction": StaleListing((300_000, 700_000), None, resolution=None),
}


def add(draft: markets.CatalogDraft) -> MoneyMarkets:
    """Add all of them to the draft."""
    found, now = MoneyMarkets(), draft.now
    open_until = now + 100 * DAY
    found.events["two"] = _event(draft, "two", 6, [(now - 90 * DAY, open_until)] * 6)
    for place in (0, 4):
        _end(draft, found.events["two"][place], now - 20 * DAY, WON_SECOND)
    found.events["all"] = _event(draft, "all", 4, [(now - 90 * DAY, now - 10 * DAY)] * 4)
    for rank, number in enumerate(found.events["all"]):
        _end(draft, number, now - 10 * DAY, WON_FIRST if rank == 1 else WON_SECOND)
    windows = [(now - 90 * DAY, open_until)] * 3 + [(now - 30 * DAY, open_until)]
    found.events["later"] = _event(draft, "later", 4, windows)
    found.later = found.events["later"][3]
    combined = min(REDEEM_PER_OUTCOME_SINCE, now - 60 * DAY) - 20 * DAY
    listed = now - 40 * DAY
    for name, neg_risk, ended in (
        ("redeem_combined", True, combined),
        ("redeem_whole", False, combined),
        ("redeem_outcomes", True, listed),
        ("redeem_losers", False, listed),
    ):
        found.singles[name] = _single(draft, name, (ended - 30 * DAY, ended), neg_risk=neg_risk)
        _end(draft, found.singles[name], ended, WON_FIRST)
    for name in ("open", "transfer"):
        found.singles[name] = _single(draft, name, (now - 90 * DAY, open_until))
    fees_from = min(_FEES_FROM, now - 90 * DAY)
    found.singles["fees"] = _single(draft, "fees", (fees_from, open_until), tags=("Crypto",))
    for name, stale in STALE_LISTINGS.items():
        number = _single(draft, f"stale_{name}", (now - 90 * DAY, now - 30 * DAY))
        _end(draft, number, now - 30 * DAY, stale.payouts)
        _apply_listing(draft, _market(draft, number), stale)
        found.singles[f"stale_{name}"] = number
    return found


def _market(draft: markets.CatalogDraft, number: int) -> catalog.Market:
    return next(market for market in reversed(draft.markets) if market.id == number)


def _name(draft: markets.CatalogDraft, market: catalog.Market, name: str) -> int:
    draft.special[f"market_money_{name}"] = market.id
    return market.id


def _single(
    draft: markets.CatalogDraft,
    name: str,
    window: tuple[int, int],
    *,
    neg_risk: bool = False,
    tags: Sequence[str] = _TAGS,
) -> int:
    title = f"Money {name.replace('_', ' ')}?"
    market = markets.new_market(draft, title, YES_NO, neg_risk=neg_risk)
    _place(draft, market, window)
    if neg_risk:
        markets.share_neg_risk_id([market])
    markets.new_event(draft, title, [market], tags=tags)
    return _name(draft, market, name)


def _event(
    draft: markets.CatalogDraft, name: str, size: int, windows: Sequence[tuple[int, int]]
) -> list[int]:
    """A negative-risk event whose markets open and end in these windows."""
    title = f"Money, who wins {name}?"
    members = []
    for letter, window in zip(markets.CANDIDATES[:size], windows, strict=True):
        market = markets.new_market(draft, f"{title} {letter}", YES_NO, neg_risk=True)
        _place(draft, market, window)
        members.append(market)
    markets.share_neg_risk_id(members)
    markets.new_event(draft, title, members, tags=_TAGS)
    return [_name(draft, market, f"{name}_{rank}") for rank, market in enumerate(members)]


def _place(draft: markets.CatalogDraft, market: catalog.Market, window: tuple[int, int]) -> None:
    """Open in this window; how it ends is said apart."""
    first, last = window
    market.created, market.start, market.end = first - 600, first - 540, last
    draft.windows[market.id] = (first, min(last, draft.now - 5))


def _end(draft: markets.CatalogDraft, number: int, moment: int, payouts: tuple[int, ...]) -> None:
    market = _market(draft, number)
    market.closed, market.closed_at = True, moment
    market.payouts, market.uma_status = payouts, "resolved"
    for event in draft.events:
        if event.id in (market.event_ids or ()):
            members = [_market(draft, member) for member in event.market_ids]
            event.closed = all(member.closed for member in members)
            event.closed_at = moment if event.closed else 0


def _apply_listing(
    draft: markets.CatalogDraft, market: catalog.Market, stale: StaleListing
) -> None:
    """What the lists say instead."""
    market.said_by_gamma, market.uma_status = stale.gamma, stale.status
    market.closed_by_clob, market.closed = True, not stale.gamma_open
    market.in_clob, market.resolution_status = stale.clob, stale.resolution
    if stale.gamma_open:
        market.closed_at = draft.events[-1].closed_at = 0
        draft.events[-1].closed = False
