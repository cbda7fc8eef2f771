"""Markets, events and tags as Gamma and CLOB list them, whatever their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

Json = dict[str, object]


@dataclass(slots=True)
class Market:
    """One market. Times are epoch seconds, 0 for none; `payouts` micro-USDC a share, empty while
    unresolved; `body` is the Gamma object without `events` and `tags`.

    `listed`: shown by the Gamma lists; an unlisted one answers on its slug alone. `said_by_gamma`,
    `said_by_clob`: payouts these lists show where they contradict the resolution.
    """

    id: int
    slug: str
    condition_id: str
    question_id: str
    question: str
    outcomes: tuple[str, ...]
    tokens: tuple[str, ...]
    version: str
    neg_risk: bool
    start: int
    end: int
    created: int
    closed: bool
    closed_at: int
    payouts: tuple[int, ...]
    body: Json
    tags: tuple[int, ...] = ()
    event_ids: tuple[int, ...] | None = None
    listed: bool = True
    archived: bool = False
    active: bool = True
    icon: str = ""
    uma_status: str = ""
    volume: float = 0.0
    liquidity: float = 0.0
    said_by_gamma: tuple[int, ...] | None = None
    said_by_clob: tuple[int, ...] | None = None

    @property
    def gamma_payouts(self) -> tuple[int, ...]:
        """What Gamma's outcome prices say of a settled market, () while unresolved."""
        return self.payouts if self.said_by_gamma is None else self.said_by_gamma

    @property
    def clob_payouts(self) -> tuple[int, ...]:
        """What CLOB's winner flags are made of, () while unresolved."""
        return self.payouts if self.said_by_clob is None else self.said_by_clob

    @property
    def shown_payouts(self) -> tuple[int, ...] | None:
        """The payouts `/v2/resolutions` can show: of two outcomes, no more and no less."""
        return self.payouts if len(self.payouts) == 2 else None


@dataclass(slots=True)
class Event:
    """One event; `body` is the Gamma object without `markets`, `tags` and `series`."""

    id: int
    slug: str
    title: str
    version: str
    start: int
    end: int
    created: int
    closed: bool
    closed_at: int
    body: Json
    market_ids: tuple[int, ...]
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


@dataclass(repr=False)
class Catalog:
    """Everything the lists can show, in ascending id order.

    `clob`: market positions in the order of CLOB `/markets`; a market may stand there twice.
    """

    markets: Sequence[Market]
    events: Sequence[Event]
    tags: Sequence[Tag]
    clob: Sequence[int]
    by_condition: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.by_condition = {
            market.condition_id: position
            for position, market in enumerate(self.markets)
            if market.condition_id
        }

    @cached_property
    def market_by_id(self) -> Mapping[int, Market]:
        return {market.id: market for market in self.markets}

    @cached_property
    def market_by_slug(self) -> Mapping[str, Market]:
        return {market.slug: market for market in self.markets}

    @cached_property
    def event_by_id(self) -> Mapping[int, Event]:
        return {event.id: event for event in self.events}

    @cached_property
    def event_by_slug(self) -> Mapping[str, Event]:
        return {event.slug: event for event in self.events}

    @cached_property
    def tag_by_id(self) -> Mapping[int, Tag]:
        return {tag.id: tag for tag in self.tags}

    def event_of(self, market: Market) -> Event | None:
        """The market's first event, None when it has none."""
        return self.event_by_id.get(market.event_ids[0]) if market.event_ids else None
