"""All APIs over one universe: what is asked where, and who answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from polymarket_sandbox import (
    clob,
    data_api,
    gamma,
    growth,
    official,
    options,
    positions,
    responses,
    routes,
    search,
    throttle,
    truth,
    universe,
    v2_query,
)


@dataclass(frozen=True, repr=False)
class Apis:
    """The APIs of one universe, and the truth about it."""

    world: universe.Universe
    positions: positions.Positions
    official: official.Official
    truth: truth.Truth
    routes: routes.Routes


def make(
    world: universe.Universe, settings: options.SandboxOptions, now: Callable[[], int]
) -> Apis:
    """The APIs of a universe. `now`: its present, epoch seconds."""
    born = time.monotonic()

    def late_visible() -> bool:
        return time.monotonic() - born >= settings.late_after_s

    positions_api = positions.Positions(world, settings.seed)
    official_api = official.Official(world, positions_api, now)
    table = routes.Routes()
    _add_data_routes(
        table, data_api.DataApi(world, settings, now, late_visible), positions_api, official_api
    )
    _add_gamma_routes(table, gamma.Gamma(world.lists, settings.gamma_offset_cap))
    table.add(
        "/public-search",
        routes.Route("search", "gamma", ("all", "gamma", "search"), search.Search(world).answer),
    )
    _add_clob_routes(table, clob.Clob(world.lists))
    known = truth.Truth(world, positions_api, official_api)
    return Apis(world, positions_api, official_api, known, table)


def prepare(apis: Apis) -> None:
    """Make now what would hold up the event loop later, and so every other answer."""
    _ = apis.positions.book
    apis.official.prepare()


class PresentApis:
    """The APIs of a universe as it is when they are asked for."""

    def __init__(
        self, world: universe.Universe, settings: options.SandboxOptions, now: Callable[[], int]
    ) -> None:
        self._world = world
        self._settings = settings
        self._now = now
        self._waits = settings.grow_s > 0 and settings.grow_on_request
        self._second = world.now
        self._ends_at = growth.end(world) if self.grows else 0
        self._apis = self._make()
        prepare(self._apis)

    def __call__(self) -> Apis:
        """Those of this second."""
        second = self._world.now if self._waits else self._now()
        if second != self._second and self._second <= self._ends_at:
            self._second = second
            self._apis = self._make()
        return self._apis

    def begin(self) -> None:
        """The universe begins to grow now."""
        if self._waits:
            self._world = growth.delay(self._world, self._now() - self._world.now)
            self._ends_at = growth.end(self._world)
            self._waits = False

    @property
    def grows(self) -> bool:
        """Whether the universe grows, or has grown."""
        return self._settings.grow_s > 0

    def _make(self) -> Apis:
        world = growth.present(self._world, self._second) if self.grows else self._world
        return make(world, self._settings, self._now)


def _add_data_routes(
    table: routes.Routes,
    api: data_api.DataApi,
    positions_api: positions.Positions,
    official_api: official.Official,
) -> None:
    answers: dict[str, Callable[[v2_query.V2Query], responses.Response]] = {
        "trades": api.trades,
        "activity": api.activity,
        "positions": positions_api.answer,
        "resolutions": api.resolutions,
        "user-volume": api.user_volume,
        "live-volume": api.live_volume,
        "user-stats": official_api.stats,
        "user-pnl": official_api.curve,
        "status": api.status,
    }
    for name, answer in answers.items():
        own = (name,) if name in throttle.PUBLISHED else ()
        budgets = ("all", "data", *own)
        table.add(f"/v2/{name}", routes.Route(name, "data", budgets, partial(_parsed, answer)))
    alive = routes.Route("ok", "data", ("all", "ok"), _alive)
    table.add("/ok", alive)
    table.add("/", routes.Route("root", "data", ("all",), _alive))


def _add_gamma_routes(table: routes.Routes, api: gamma.Gamma) -> None:
    markets, events = (
        ("all", "gamma", "listings", "markets"),
        ("all", "gamma", "listings", "events"),
    )
    table.add("/markets/keyset", routes.Route("markets", "gamma", markets, api.markets_keyset))
    table.add("/events/keyset", routes.Route("events", "gamma", events, api.events_keyset))
    table.add("/markets", routes.Route("markets-legacy", "gamma", markets, api.markets_legacy))
    table.add("/events", routes.Route("events-legacy", "gamma", events, api.events_legacy))
    table.add("/markets/", routes.Route("market", "gamma", markets, api.market))
    table.add("/events/", routes.Route("event", "gamma", events, api.event))
    table.add("/tags", routes.Route("tags", "gamma", ("all", "gamma", "tags"), api.tags))


def _add_clob_routes(table: routes.Routes, api: clob.Clob) -> None:
    budgets = ("all", "clob")
    table.add("/markets", routes.Route("clob-markets", "clob", budgets, api.markets))
    for path in ("/markets/", "/clob-markets/"):
        table.add(path, routes.Route("clob-market", "clob", budgets, api.market))


def _parsed(
    answer: Callable[[v2_query.V2Query], responses.Response], _argument: str, raw_query: str
) -> responses.Response:
    return answer(v2_query.V2Query(raw_query))


def _alive(_argument: str, _raw_query: str) -> responses.Response:
    return responses.as_json({"data": "OK"})
