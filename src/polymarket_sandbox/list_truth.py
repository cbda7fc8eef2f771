"""The truth of the lists: markets, events and resolutions, each as a count and a digest.

Lines of the digests (see `digests`); condition ids lower case without 0x, flags as 0 or 1:

    markets      condition|Gamma id|slug|closed|resolved|winning outcome
    events       event id|slug|closed|market ids, ascending, with commas
    resolutions  condition|payouts in micro-USDC a share, with commas

`markets` covers every market that any way reaches: CLOB list, Gamma open and closed, `version` v1
and v2, single lookups by slug or id. One line per condition id; of two Gamma markets with one
condition the one with the higher id. `without_condition` are the others: same line, first field
empty. `resolved` and `winning outcome` are what the two lists say of a market, not
`/v2/resolutions`:

1. Gamma's prices of a closed market, whose question is not under way, give all to one outcome (a
   thousandth apart): resolved, and that outcome won;
2. else CLOB names a winner: resolved, and that outcome won;
3. else a closed market whose `umaResolutionStatus` is resolved or settled, or whose
   `resolutionStatus` is resolved: resolved without a winner (ties and fractions), field empty;
4. else unresolved, field empty.

The winning outcome is its index. `events` shows the markets Gamma embeds in the event.
`resolutions` has one line per condition that `/v2/resolutions` shows with status resolved; the
payouts are empty where that route shows none, as for markets of three outcomes. `disagreements`
are the condition ids (with 0x) whose resolution, Gamma prices and CLOB winner do not say the same;
prices that are all 0 say nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from polymarket_sandbox import catalog, digests

WHOLE = 1_000_000  # micro-USDC: what a share of the only winner pays
_SETTLED = ("resolved", "settled")
_NEARLY = 999_000  # Gamma shows the winner of some settled markets at 0.9995


def markets(lists: catalog.Catalog) -> dict[str, object]:
    """Count and digest of the markets with a condition id, and of those without."""
    known = digests.summary(
        _market_line(lists.markets[p]) for p in lists.index.by_condition.values()
    )
    other = digests.summary(_market_line(m) for m in lists.markets if not m.condition_id)
    return {**known.report(), "without_condition": other.report()}


def events(lists: catalog.Catalog) -> dict[str, object]:
    """Count and digest of all events, both versions."""
    return digests.summary(_event_line(lists, event) for event in lists.events).report()


def resolutions(
    lists: catalog.Catalog,
    wanted: Collection[str] | None,
    settled: Mapping[str, tuple[int, ...]],
) -> dict[str, object]:
    """Count and digest of the resolved conditions, all or those `wanted` (with 0x); `settled`:
    payouts of those that no list shows as resolved."""
    chosen = [
        lists.markets[place]
        for condition, place in lists.index.by_condition.items()
        if wanted is None or condition in wanted
    ]
    shown = {
        market.condition_id: _payouts(market)
        for market in chosen
        if market.payouts and market.resolution_status in {None, "resolved"}
    }
    for condition, paid in settled.items():
        if wanted is None or condition in wanted:
            shown.setdefault(condition, ",".join(map(str, paid)))
    found = digests.summary(f"{condition[2:]}|{paid}" for condition, paid in shown.items())
    differing = [market.condition_id for market in chosen if disagrees(market)]
    return {**found.report(), "disagreements": sorted(differing)}


def listed_outcome(market: catalog.Market) -> tuple[bool, int | None]:
    """Whether the lists show a market as resolved, and the index of its only winner."""
    by_clob = market.clob_payouts if market.in_clob else ()
    under_way = market.uma_status not in (*_SETTLED, "")
    for closed, said in (
        (market.closed and not under_way, market.gamma_payouts),
        (market.clob_closed, by_clob),
    ):
        if closed and max(said, default=0) >= _NEARLY and WHOLE - sum(said) <= WHOLE - _NEARLY:
            return True, said.index(max(said))
    status = market.uma_status in _SETTLED or (market.version == "v2" and bool(market.payouts))
    return market.closed and status, None


def disagrees(market: catalog.Market) -> bool:
    """Whether Gamma or CLOB contradict the resolution."""
    if not market.payouts:
        return False
    by_gamma, by_clob = market.gamma_payouts, market.clob_payouts
    is_said = market.closed and any(by_gamma) and market.uma_status in (*_SETTLED, "")
    if is_said and any(
        abs(said - paid) > WHOLE - _NEARLY
        for said, paid in zip(by_gamma, market.payouts, strict=False)
    ):
        return True
    winners = [index for index, payout in enumerate(by_clob) if payout == WHOLE]
    return bool(winners) and market.payouts[winners[0]] != max(market.payouts)


def _market_line(market: catalog.Market) -> str:
    is_resolved, winner = listed_outcome(market)
    shown = "" if winner is None else str(winner)
    head = f"{market.condition_id[2:]}|{market.id}|{market.slug}"
    closed = market.closed or (market.in_clob and market.clob_closed)
    return f"{head}|{closed:d}|{is_resolved:d}|{shown}"


def _event_line(lists: catalog.Catalog, event: catalog.Event) -> str:
    ids = ",".join(map(str, sorted(set(_shown(lists, event)))))
    return f"{event.id}|{event.slug}|{event.closed:d}|{ids}"


def _shown(lists: catalog.Catalog, event: catalog.Event) -> Iterator[int]:
    return (number for number in event.market_ids if lists.market(number).listed)


def _payouts(market: catalog.Market) -> str:
    shown = market.shown_payouts if market.resolution_status is None else None
    return ",".join(map(str, shown or ()))
