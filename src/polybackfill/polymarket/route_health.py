"""Whose fault is a refusal: the question's, or the host's?

A 404, a redirect or a 403 may mean that one key is bad, or that a gateway was misrouted after a
deploy, a captive portal stands in between, or a key of a proxy has expired. Status codes and texts
do not tell the two apart. A question that always works does: while it is refused too, no refusal of
that route means anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson

from polybackfill.polymarket import endpoints

FIRST_PAUSE_S = 5.0

_ONE_ROW = ("limit", "1")
_NOBODY = ("user", f"0x{1:040x}")


@dataclass(frozen=True)
class Control:
    """What a route answers at once, with or without rows, as long as it works at all.

    `member`: a name in the JSON object of the answer; "" for any object.
    """

    params: tuple[tuple[str, str], ...]
    member: str

    def passes(self, body: bytes) -> bool:
        """Whether this is an answer of the API, and not of something that stands before it."""
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        return isinstance(fields, dict) and (not self.member or self.member in fields)


CONTROLS: Mapping[endpoints.Route, Control] = MappingProxyType(
    {
        endpoints.TRADES: Control((_ONE_ROW,), "data"),
        endpoints.ACTIVITY: Control((_NOBODY, _ONE_ROW), "data"),
        endpoints.POSITIONS: Control((_NOBODY, _ONE_ROW), "data"),
        endpoints.RESOLUTIONS: Control((("condition", f"0x{1:064x}"),), "data"),
        endpoints.MARKETS: Control((_ONE_ROW,), "markets"),
        endpoints.EVENTS: Control((_ONE_ROW,), "events"),
        endpoints.CLOB_MARKETS: Control((), "data"),
    }
)
# Asked in place of a route that has no question of its own that always works.
_STAND_INS: Mapping[endpoints.Route, endpoints.Route] = MappingProxyType(
    {
        endpoints.MARKET_BY_SLUG: endpoints.MARKETS,
        # Whether it is served at all is part of the question.
        endpoints.USER_STATS: endpoints.POSITIONS,
        endpoints.USER_PNL: endpoints.POSITIONS,
    }
)


@dataclass
class RouteHealth:
    """What is known of one route. Times are monotonic.

    `proven_at`: when the control last passed. `trouble_at`: since when it does not. `leaf`: the
    last thing below the path that was answered; asked for again it is a control of its own.
    """

    route: endpoints.Route
    control: Control
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    proven_at: float = float("-inf")
    trouble_at: float | None = None
    pause_s: float = FIRST_PAUSE_S
    leaf: tuple[endpoints.Route, tuple[tuple[str, str], ...]] | None = None

    def question(self) -> tuple[endpoints.Route, Control]:
        """What to ask."""
        if self.leaf is None:
            return self.route, self.control
        route, params = self.leaf
        return route, Control(params, "")

    def passed(self, now: float) -> None:
        """The control is answered."""
        self.proven_at, self.trouble_at, self.pause_s = now, None, FIRST_PAUSE_S

    def failed(self, now: float, longest_pause_s: float) -> float:
        """The control is refused; for how many seconds to leave the host alone."""
        self.trouble_at = now if self.trouble_at is None else self.trouble_at
        pause_s = min(self.pause_s, longest_pause_s)
        self.pause_s = min(2 * self.pause_s, longest_pause_s)
        return pause_s


class RouteHealthTable:
    """The routes that have a control."""

    def __init__(self, controls: Mapping[endpoints.Route, Control]) -> None:
        self._controls = controls
        self._by_route: dict[tuple[endpoints.Route, bool], RouteHealth] = {}

    def find(self, route: endpoints.Route) -> RouteHealth | None:
        """The health of a route, None where it has no control.

        Single reads below a path have an entry of their own.
        """
        control_route = _STAND_INS.get(route, route.at(""))
        control = self._controls.get(control_route)
        if control is None:
            return None
        key = (route.at(""), bool(route.leaf))
        return self._by_route.setdefault(key, RouteHealth(control_route, control))
