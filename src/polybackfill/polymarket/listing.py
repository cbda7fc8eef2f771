"""Rows of Gamma's lists and of the order book's list become records.

A row is kept whatever its fields hold; only one that nothing can name is set aside with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import orjson

from polybackfill import errors, records
from polybackfill.polymarket import answers, fields, verdicts

GAMMA, CLOB = "gamma", "clob"
Row = TypeVar("Row", records.Market, records.Event)


@dataclass
class Listed:
    """What an answer held. `starts`: start dates of its rows (epoch seconds or None), in order;
    `states`: their `closed`, None where it is missing. Both only of rows that are objects."""

    markets: list[records.Market] = field(default_factory=list)
    events: list[records.Event] = field(default_factory=list)
    rejected: list[records.Rejected] = field(default_factory=list)
    starts: list[int | None] = field(default_factory=list)
    states: list[bool | None] = field(default_factory=list)
    fetched_rows: int = 0

    @property
    def rows(self) -> tuple[Sequence[records.Row], ...]:
        """What is to be stored, one sequence a type."""
        return self.events, self.markets, self.rejected

    @property
    def span(self) -> tuple[int | None, int | None]:
        """The first and the last start date, None where no row has one."""
        dates = [start for start in self.starts if start is not None]
        return min(dates, default=None), max(dates, default=None)


def decode(body: bytes, source: answers.Source) -> fields.Json:
    """The answer, which must be a JSON object. Raises Retry."""
    try:
        answer = fields.decode(body)
    except orjson.JSONDecodeError as problem:
        raise errors.Retry(f"{source.route}: not JSON: {problem}") from problem
    if not isinstance(answer, dict):
        raise errors.Retry(f"{source.route}: an answer that is no object")
    return answer


def gamma_markets(rows: Iterable[object], source: answers.Source) -> Listed:
    """Rows of `/markets/keyset`, or single markets."""
    listed = Listed()
    for row in rows:
        _take(listed, listed.markets, gamma_market, row, source)
    records.number_rejected(listed.rejected)
    return listed


def gamma_events(rows: Iterable[object], source: answers.Source) -> Listed:
    """Rows of `/events/keyset`, with their markets that no list of start dates would show."""
    listed = Listed()
    for row in rows:
        _take(listed, listed.events, gamma_event, row, source)
        if isinstance(row, dict):
            _take_undated(listed, row, source)
    records.number_rejected(listed.rejected)
    return listed


def clob_markets(rows: Iterable[object], source: answers.Source) -> Listed:
    """Rows of the order book's `/markets`."""
    listed = Listed()
    for row in rows:
        _take(listed, listed.markets, clob_market, row, source)
    records.number_rejected(listed.rejected)
    return listed


def gamma_market(row: fields.Json, source: answers.Source) -> records.Market:
    """One market as Gamma shows it. Raises Reject when nothing can name it."""
    market_id, slug = fields.text(row.get("id")), fields.text(row.get("slug"))
    condition = _condition(row.get("conditionId"))
    _check_named(condition, market_id, slug)
    events = fields.objects(row.get("events"))
    event = events[0] if events else {}
    version = fields.version(row)
    closed = _flag(row, "closed")
    status = fields.text(row.get("resolutionStatus")) or fields.text(row.get("umaResolutionStatus"))
    prices = verdicts.known_prices(fields.prices(row.get("outcomePrices")))
    verdict = verdicts.by_prices(prices, closed=closed, status=status)
    return records.Market(
        source=GAMMA,
        condition_id=condition,
        market_id=market_id,
        market_slug=slug,
        question=fields.text(row.get("question")),
        description=fields.text(row.get("description")),
        outcomes=fields.texts(row.get("outcomes")),
        outcome_prices=prices,
        token_ids=fields.outcome_tokens(row, version),
        active=_flag(row, "active"),
        closed=closed,
        archived=_flag(row, "archived"),
        resolved=verdict.resolved,
        winning_outcome=verdict.winner,
        start_date=_start(row),
        end_date=_second(row, "endDate", "endDateIso"),
        closed_at=fields.second(row.get("closedTime")),
        volume=fields.first_amount(row.get("volumeNum"), row.get("volume")),
        liquidity=fields.first_amount(row.get("liquidityNum"), row.get("liquidity")),
        neg_risk=_flag(row, "negRisk"),
        category=fields.text(row.get("category")),
        tags=fields.labels(row.get("tags")),
        event_id=fields.text(event.get("id")),
        event_slug=fields.text(event.get("slug")),
        protocol_version=version,
        neg_risk_market_id=_condition_or_none(row.get("negRiskMarketID")),
        created_at=fields.second(row.get("createdAt")),
        fetched_at=source.fetched_at,
        version=source.version,
    )


def gamma_event(row: fields.Json, source: answers.Source) -> records.Event:
    """One event as Gamma shows it. Raises Reject when it has no id."""
    event_id = fields.text(row.get("id"))
    if not event_id:
        raise errors.Reject("id: missing")
    members = fields.objects(row.get("markets"))
    conditions = (_condition_or_none(member.get("conditionId")) for member in members)
    return records.Event(
        event_id=event_id,
        event_slug=fields.text(row.get("slug")),
        title=fields.text(row.get("title")),
        category=fields.text(row.get("category")),
        tags=fields.labels(row.get("tags")),
        active=_flag(row, "active"),
        closed=_flag(row, "closed"),
        start_date=_start(row),
        end_date=fields.second(row.get("endDate")),
        closed_at=fields.second(row.get("closedTime")),
        volume=fields.first_amount(row.get("volume")),
        liquidity=fields.first_amount(row.get("liquidity")),
        neg_risk=_flag(row, "negRisk"),
        market_ids=list(filter(None, (fields.text(member.get("id")) for member in members))),
        condition_ids=list(filter(None, conditions)),
        protocol_version=fields.text(row.get("version")) or fields.ORDINARY,
        neg_risk_market_id=_condition_or_none(row.get("negRiskMarketID")),
        fetched_at=source.fetched_at,
        version=source.version,
    )


def clob_market(row: fields.Json, source: answers.Source) -> records.Market:
    """One market as the order book shows it: no id, volume, event, start or closing time."""
    slug, condition = fields.text(row.get("market_slug")), _condition(row.get("condition_id"))
    _check_named(condition, "", slug or fields.text(row.get("question_id")))
    sides = fields.objects(row.get("tokens"))
    closed = _flag(row, "closed")
    winners = [place for place, side in enumerate(sides) if _flag(side, "winner")]
    verdict = verdicts.by_winners(winners, closed=closed)
    return records.Market(
        source=CLOB,
        condition_id=condition,
        market_id="",
        market_slug=slug,
        question=fields.text(row.get("question")),
        description=fields.text(row.get("description")),
        outcomes=[fields.text(side.get("outcome")) for side in sides],
        outcome_prices=verdicts.known_prices(fields.prices([side.get("price") for side in sides])),
        token_ids=fields.tokens([side.get("token_id") for side in sides]),
        active=_flag(row, "active"),
        closed=closed,
        archived=_flag(row, "archived"),
        resolved=verdict.resolved,
        winning_outcome=verdict.winner,
        start_date=None,
        end_date=fields.second(row.get("end_date_iso")),
        closed_at=None,
        volume=0.0,
        liquidity=0.0,
        neg_risk=_flag(row, "neg_risk"),
        category="",
        tags=fields.labels(row.get("tags")),
        event_id="",
        event_slug="",
        protocol_version=fields.text(row.get("version")),
        neg_risk_market_id=_condition_or_none(row.get("neg_risk_market_id")),
        created_at=None,
        fetched_at=source.fetched_at,
        version=source.version,
    )


def _take(
    listed: Listed,
    kept: list[Row],
    read: Callable[[fields.Json, answers.Source], Row],
    row: object,
    source: answers.Source,
) -> None:
    listed.fetched_rows += 1
    if not isinstance(row, dict):
        listed.rejected.append(_set_aside(row, "not an object", source))
        return
    listed.starts.append(_start(row))
    listed.states.append(fields.or_none(fields.flag, row.get("closed")))
    try:
        kept.append(read(row, source))
    except errors.Reject as problem:
        listed.rejected.append(_set_aside(row, str(problem), source))


def _take_undated(listed: Listed, event: fields.Json, source: answers.Source) -> None:
    """Markets without a start date, which their event knows."""
    shown_event = {"id": event.get("id"), "slug": event.get("slug")}
    for member in fields.objects(event.get("markets")):
        if _start(member) is not None:
            continue
        known = {"tags": event.get("tags"), **member, "events": [shown_event]}
        try:
            listed.markets.append(gamma_market(known, source))
        except errors.Reject as problem:
            listed.rejected.append(_set_aside(member, str(problem), source))


def _set_aside(row: object, reason: str, source: answers.Source) -> records.Rejected:
    return source.reject(reason, orjson.dumps(row).decode())


def _check_named(condition: str, market_id: str, slug: str) -> None:
    if not (condition or market_id or slug):
        raise errors.Reject("neither condition id, id nor slug")


def _condition(value: object) -> str:
    """'' for a market that has none. Raises Reject."""
    shown = fields.name(value)
    return records.normalise_condition(shown) if shown else ""


def _condition_or_none(value: object) -> str:
    try:
        return _condition(value)
    except errors.Reject:
        return ""


def _flag(row: fields.Json, name: str) -> bool:
    """False where it is missing. Raises Reject for what is neither true nor false."""
    return fields.named(name, fields.flag, row.get(name)) or False


def _start(row: fields.Json) -> int | None:
    return fields.second(row.get("startDate"))


def _second(row: fields.Json, *names: str) -> int | None:
    found = (fields.second(row.get(name)) for name in names)
    return next((second for second in found if second is not None), None)
