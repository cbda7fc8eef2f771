"""Rows of Gamma's lists and of the order book's list become records.

A row is kept whatever its fields hold; only one that nothing can name is set aside with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import orjson

from polybackfill import errors, records
from polybackfill.polymarket import coerce, parsing, resolution_rules

GAMMA, CLOB = "gamma", "clob"
Row = TypeVar("Row", records.Market, records.Event)


@dataclass(kw_only=True)
class ParsedListing(parsing.ParsedPage):
    """Rows of a list. `starts`: their start dates (epoch seconds or None), in order; `states`:
    their `closed`, `made`: when they were made, None where it is missing. Only of rows that are
    objects.
    """

    markets: list[records.Market] = field(default_factory=list)
    events: list[records.Event] = field(default_factory=list)
    starts: list[int | None] = field(default_factory=list)
    states: list[bool | None] = field(default_factory=list)
    made: list[int | None] = field(default_factory=list)

    @property
    def rows(self) -> tuple[Sequence[records.Row], ...]:
        """What is to be stored, one sequence a type."""
        return self.events, self.markets, self.rejected


def decode(body: bytes, source: parsing.ResponseSource) -> coerce.Json:
    """The answer, which must be a JSON object. Raises Retry."""
    try:
        answer = coerce.decode(body)
    except orjson.JSONDecodeError as problem:
        raise errors.Retry(f"{source.route}: not JSON: {problem}") from problem
    if not isinstance(answer, dict):
        raise errors.Retry(f"{source.route}: an answer that is no object")
    return answer


def gamma_markets(rows: Iterable[object], source: parsing.ResponseSource) -> ParsedListing:
    """Rows of `/markets/keyset`, or single markets."""
    listed = ParsedListing()
    for row in rows:
        _parse_into(listed, listed.markets, gamma_market, row, source)
    records.number_rejected(listed.rejected)
    return listed


def gamma_events(rows: Iterable[object], source: parsing.ResponseSource) -> ParsedListing:
    """Rows of `/events/keyset`, with their markets that no list of start dates would show."""
    listed = ParsedListing()
    for row in rows:
        _parse_into(listed, listed.events, gamma_event, row, source)
        if isinstance(row, dict):
            _parse_undated(listed, row, source)
    records.number_rejected(listed.rejected)
    return listed


def clob_markets(rows: Iterable[object], source: parsing.ResponseSource) -> ParsedListing:
    """Rows of the order book's `/markets`."""
    listed = ParsedListing()
    for row in rows:
        _parse_into(listed, listed.markets, clob_market, row, source)
    records.number_rejected(listed.rejected)
    return listed


def gamma_market(row: coerce.Json, source: parsing.ResponseSource) -> records.Market:
    """One market as Gamma shows it. Raises Reject when nothing can name it."""
    market_id, slug = coerce.text(row.get("id")), coerce.text(row.get("slug"))
    condition = _condition(row.get("conditionId"))
    _check_named(condition, market_id, slug)
    events = coerce.objects(row.get("events"))
    event = events[0] if events else {}
    version = coerce.version(row)
    closed = _flag(row, "closed")
    status = coerce.text(row.get("resolutionStatus")) or coerce.text(row.get("umaResolutionStatus"))
    prices = resolution_rules.known_prices(coerce.prices(row.get("outcomePrices")))
    result = resolution_rules.by_prices(prices, closed=closed, status=status)
    return records.Market(
        source=GAMMA,
        condition_id=condition,
        market_id=market_id,
        market_slug=slug,
        question=coerce.text(row.get("question")),
        description=coerce.text(row.get("description")),
        outcomes=coerce.texts(row.get("outcomes")),
        outcome_prices=prices,
        token_ids=coerce.outcome_tokens(row, version),
        active=_flag(row, "active"),
        closed=closed,
        archived=_flag(row, "archived"),
        resolved=result.resolved,
        winning_outcome=result.winner,
        start_date=_start(row),
        end_date=_second(row, "endDate", "endDateIso"),
        closed_at=coerce.second(row.get("closedTime")),
        volume=coerce.first_amount(row.get("volumeNum"), row.get("volume")),
        liquidity=coerce.first_amount(row.get("liquidityNum"), row.get("liquidity")),
        neg_risk=_flag(row, "negRisk"),
        category=coerce.text(row.get("category")),
        tags=coerce.labels(row.get("tags")),
        event_id=coerce.text(event.get("id")),
        event_slug=coerce.text(event.get("slug")),
        protocol_version=version,
        neg_risk_market_id=_condition_or_none(row.get("negRiskMarketID")),
        created_at=coerce.second(row.get("createdAt")),
        fetched_at=source.fetched_at,
        version=source.version,
    )


def gamma_event(row: coerce.Json, source: parsing.ResponseSource) -> records.Event:
    """One event as Gamma shows it. Raises Reject when it has no id."""
    event_id = coerce.text(row.get("id"))
    if not event_id:
        raise errors.Reject("id: missing")
    members = coerce.objects(row.get("markets"))
    conditions = (_condition_or_none(member.get("conditionId")) for member in members)
    return records.Event(
        event_id=event_id,
        event_slug=coerce.text(row.get("slug")),
        title=coerce.text(row.get("title")),
        category=coerce.text(row.get("category")),
        tags=coerce.labels(row.get("tags")),
        active=_flag(row, "active"),
        closed=_flag(row, "closed"),
        start_date=_start(row),
        end_date=coerce.second(row.get("endDate")),
        closed_at=coerce.second(row.get("closedTime")),
        volume=coerce.first_amount(row.get("volume")),
        liquidity=coerce.first_amount(row.get("liquidity")),
        neg_risk=_flag(row, "negRisk"),
        market_ids=list(filter(None, (coerce.text(member.get("id")) for member in members))),
        condition_ids=list(filter(None, conditions)),
        protocol_version=coerce.text(row.get("version")) or coerce.ORDINARY,
        neg_risk_market_id=_condition_or_none(row.get("negRiskMarketID")),
        fetched_at=source.fetched_at,
        version=source.version,
    )


def clob_market(row: coerce.Json, source: parsing.ResponseSource) -> records.Market:
    """One market as the order book shows it: no id, volume, event, start or closing time."""
    slug, condition = coerce.text(row.get("market_slug")), _condition(row.get("condition_id"))
    _check_named(condition, "", slug or coerce.text(row.get("question_id")))
    sides = coerce.objects(row.get("tokens"))
    closed = _flag(row, "closed")
    winners = [index for index, side in enumerate(sides) if _flag(side, "winner")]
    result = resolution_rules.by_winners(winners, closed=closed)
    return records.Market(
        source=CLOB,
        condition_id=condition,
        market_id="",
        market_slug=slug,
        question=coerce.text(row.get("question")),
        description=coerce.text(row.get("description")),
        outcomes=[coerce.text(side.get("outcome")) for side in sides],
        outcome_prices=resolution_rules.known_prices(
            coerce.prices([side.get("price") for side in sides])
        ),
        token_ids=coerce.tokens([side.get("token_id") for side in sides]),
        active=_flag(row, "active"),
        closed=closed,
        archived=_flag(row, "archived"),
        resolved=result.resolved,
        winning_outcome=result.winner,
        start_date=None,
        end_date=coerce.second(row.get("end_date_iso")),
        closed_at=None,
        volume=0.0,
        liquidity=0.0,
        neg_risk=_flag(row, "neg_risk"),
        category="",
        tags=coerce.labels(row.get("tags")),
        event_id="",
        event_slug="",
        protocol_version=coerce.text(row.get("version")),
        neg_risk_market_id=_condition_or_none(row.get("neg_risk_market_id")),
        created_at=None,
        fetched_at=source.fetched_at,
        version=source.version,
    )


def _parse_into(
    listed: ParsedListing,
    kept: list[Row],
    read: Callable[[coerce.Json, parsing.ResponseSource], Row],
    row: object,
    source: parsing.ResponseSource,
) -> None:
    listed.fetched_rows += 1
    if not isinstance(row, dict):
        listed.rejected.append(_reject(row, "not an object", source))
        return
    start = _start(row)
    listed.starts.append(start)
    if start is not None:
        listed.seconds.append(start)
    listed.made.append(coerce.second(row.get("createdAt")))
    listed.states.append(coerce.or_none(coerce.flag, row.get("closed")))
    try:
        kept.append(read(row, source))
    except errors.Reject as problem:
        listed.rejected.append(_reject(row, str(problem), source))


def _parse_undated(
    listed: ParsedListing, event: coerce.Json, source: parsing.ResponseSource
) -> None:
    """Markets without a start date, which their event knows."""
    shown_event = {"id": event.get("id"), "slug": event.get("slug")}
    for member in coerce.objects(event.get("markets")):
        if _start(member) is not None:
            continue
        known = {"tags": event.get("tags"), **member, "events": [shown_event]}
        try:
            listed.markets.append(gamma_market(known, source))
        except errors.Reject as problem:
            listed.rejected.append(_reject(member, str(problem), source))


def _reject(row: object, reason: str, source: parsing.ResponseSource) -> records.Rejected:
    return source.reject(reason, orjson.dumps(row).decode())


def _check_named(condition: str, market_id: str, slug: str) -> None:
    if not (condition or market_id or slug):
        raise errors.Reject("neither condition id, id nor slug")


def _condition(value: object) -> str:
    """'' for a market that has none. Raises Reject."""
    shown = coerce.name(value)
    return records.normalise_condition(shown) if shown else ""


def _condition_or_none(value: object) -> str:
    try:
        return _condition(value)
    except errors.Reject:
        return ""


def _flag(row: coerce.Json, name: str) -> bool:
    """False where it is missing. Raises Reject for what is neither true nor false."""
    return coerce.named(name, coerce.flag, row.get(name)) or False


def _start(row: coerce.Json) -> int | None:
    return coerce.second(row.get("startDate"))


def _second(row: coerce.Json, *names: str) -> int | None:
    seconds = (coerce.second(row.get(name)) for name in names)
    return next((second for second in seconds if second is not None), None)
