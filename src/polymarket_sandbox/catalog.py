"""Markets, events and tags as Gamma and CLOB list them, whatever their source."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from polymarket_sandbox import tokens

Json = dict[str, object]
NO_ROW = ""  # a `resolution_status`


@dataclass(slots=True)
class Market:
    """One market. Times are epoch seconds, 0 for none; `payouts` micro-USDC a share, empty while
    unresolved; `body` is the recorded Gamma object without `events` and `tags`, None for a market
    whose object is made when it is shown.

    `listed`: shown by the Gamma lists; an unlisted one answers on its slug alone. `token_ids`: None
    for those that follow from the condition. `said_by_gamma`, `said_by_clob`: payouts these lists
    show where they contradict the resolution. `fee_subject`: see `fees`. `neg_risk_market_id`:
    shared by the markets of a negative-risk event, "" for none. `resolution_status`: what
    `/v2/resolutions` says instead of the truth; "" where it has no row of the market.
    `closed_by_clob`: None where the order book says the same as Gamma; `in_clob`: whether it has
    the market, `clob_body` its recorded row.
    """

    id: int
    slug: str
    condition_id: str
    question_id: str
    question: str
    outcomes: tuple[str, ...]
    version: str
    neg_risk: bool
    start: int
    end: int
    created: int
    closed: bool
    closed_at: int
    payouts: tuple[int, ...]
    token_ids: tuple[str, ...] | None = None
    body: Json | None = None
    tags: tuple[int, ...] = ()
    event_ids: tuple[int, ...] | None = None
    listed: bool = True
    archived: bool = False
    active: bool = True
    icon: str = ""
    uma_status: str = ""
    volume: float = 0.0
    liquidity: float = 0.0
    fee_subject: int = 0
    neg_risk_market_id: str = ""
    resolution_status: str | None = None
    closed_by_clob: bool | None = None
    in_clob: bool = True
    clob_body: Json | None = None
    said_by_gamma: tuple[int, ...] | None = None
    said_by_clob: tuple[int, ...] | None = None

    @property
    def tokens(self) -> tuple[str, ...]:
        """Token ids by outcome. Deriving them takes 0.1 ms, so it waits until somebody asks."""
        if self.token_ids is None:
            numbers = range(len(self.outcomes))
            self.token_ids = tuple(
                tokens.token_id(self.condition_id, number, neg_risk=self.neg_risk)
                for number in numbers
            )
        return self.token_ids

    @property
    def gamma_payouts(self) -> tuple[int, ...]:
        """What Gamma's outcome prices say of a settled market, () while unresolved."""
        return self.payouts if self.said_by_gamma is None else self.said_by_gamma

    @property
    def clob_payouts(self) -> tuple[int, ...]:
        """What CLOB's winner flags are made of, () while unresolved."""
        return self.payouts if self.said_by_clob is None else self.said_by_clob

    @property
    def clob_closed(self) -> bool:
        """Whether CLOB shows the market as closed."""
        return self.closed if self.closed_by_clob is None else self.closed_by_clob

    @property
    def shown_payouts(self) -> tuple[int, ...] | None:
        """The payouts `/v2/resolutions` can show: of two outcomes, no more and no less."""
        return self.payouts if len(self.payouts) == 2 else None


@dataclass(slots=True)
class Event:
    """One event; `body` is the recorded Gamma object without `markets`, `tags` and `series`, None
    for an event whose object is made when it is shown."""

    id: int
    slug: str
    title: str
    version: str
    start: int
    end: int
    created: int
    closed: bool
    closed_at: int
    market_ids: tuple[int, ...]
    body: Json | None = None
    tags: tuple[int, ...] = ()
    series: tuple[Json, ...] | None = None
    volume: float = 0.0
    liquidity: float = 0.0


@dataclass(slots=True)
class Tag:
    """One tag; `body` is the Gamma object."""

    id: int
    label: str
    slug: str
    body: Json


def _no_market(market: Market) -> Json:
    raise LookupError(f"market {market.id} has no recorded object")


def _no_event(event: Event, _members: Sequence[Market]) -> Json:
    raise LookupError(f"event {event.id} has no recorded object")


@dataclass(frozen=True, repr=False)
class Index:
    """Where the lists hold a market, an event or a tag. Positions never change."""

    by_condition: Mapping[str, int]
    by_id: Mapping[int, int]
    by_slug: Mapping[str, int]
    event_by_id: Mapping[int, int]
    event_by_slug: Mapping[str, int]
    tag_by_id: Mapping[int, Tag]


def _build_index(markets: Sequence[Market], events: Sequence[Event], tags: Sequence[Tag]) -> Index:
    return Index(
        by_condition={
            market.condition_id: position
            for position, market in enumerate(markets)
            if market.condition_id
        },
        by_id={market.id: position for position, market in enumerate(markets)},
        by_slug={market.slug: position for position, market in enumerate(markets)},
        event_by_id={event.id: position for position, event in enumerate(events)},
        event_by_slug={event.slug: position for position, event in enumerate(events)},
        tag_by_id={tag.id: tag for tag in tags},
    )


@dataclass(repr=False)
class Catalog:
    """Everything the lists can show, in ascending id order.

    `clob`: market positions in the order of CLOB `/markets`; a market may stand there twice.
    `render_market`, `render_event` make the Gamma objects that were not recorded. `version` rises
    whenever a market or an event changes.
    """

    markets: list[Market]
    events: list[Event]
    tags: Sequence[Tag]
    clob: Sequence[int]
    render_market: Callable[[Market], Json] = _no_market
    render_event: Callable[[Event, Sequence[Market]], Json] = _no_event
    version: int = 0
    index: Index = field(init=False)

    def __post_init__(self) -> None:
        self.index = _build_index(self.markets, self.events, self.tags)

    def fork(self) -> Catalog:
        """A catalog that may change by itself; the unchanged parts are shared."""
        forked = copy.copy(self)
        forked.markets, forked.events = list(self.markets), list(self.events)
        return forked

    def market(self, number: int) -> Market:
        """The market of a Gamma id that exists."""
        return self.markets[self.index.by_id[number]]

    def event(self, number: int) -> Event:
        """The event of an id that exists."""
        return self.events[self.index.event_by_id[number]]

    def event_of(self, market: Market) -> Event | None:
        """The market's first event, None when it has none."""
        return self.event(market.event_ids[0]) if market.event_ids else None

    def tags_of(self, market: Market) -> tuple[int, ...]:
        """Tag ids of the market and of its events, each once."""
        of_events = (tag for number in market.event_ids or () for tag in self.event(number).tags)
        return tuple(dict.fromkeys((*market.tags, *of_events)))

    def market_body(self, market: Market) -> Json:
        """The Gamma object of a market, without `events` and `tags`."""
        return self.render_market(market) if market.body is None else market.body

    def event_body(self, event: Event) -> Json:
        """The Gamma object of an event, without `markets`, `tags` and `series`."""
        if event.body is not None:
            return event.body
        return self.render_event(event, [self.market(number) for number in event.market_ids])

    def show(self, position: int) -> None:
        """List a market that was not listed so far."""
        self.markets[position] = replace(self.markets[position], listed=True)
        self.version += 1

    def settle(self, position: int, payouts: tuple[int, ...], moment: int) -> None:
        """Close a market at an epoch second with these payouts, and its events with their last."""
        old = self.markets[position]
        self.markets[position] = replace(
            old, closed=True, closed_at=moment, payouts=payouts, uma_status="resolved"
        )
        for number in old.event_ids or ():
            event = self.event(number)
            if all(self.market(member).closed for member in event.market_ids):
                closed = replace(event, closed=True, closed_at=moment)
                self.events[self.index.event_by_id[number]] = closed
        self.version += 1
