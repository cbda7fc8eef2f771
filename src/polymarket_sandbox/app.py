"""The sandbox as a server: in this process for tests, or blocking for the command line."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
from aiohttp import web

from polymarket_sandbox import (
    changes,
    clob,
    control_api,
    data_api,
    faults,
    gamma,
    gateway,
    official,
    options,
    positions,
    replay,
    responses,
    routes,
    search,
    stats,
    throttle,
    token_derivation,
    truth,
    universe,
    universe_builder,
    v2_query,
)

SHUTDOWN_S = 1.0
WORLD: web.AppKey[universe.Universe] = web.AppKey("world", universe.Universe)


@dataclass
class RunningSandbox:
    """A sandbox that answers: `url`/data, `url`/gamma and `url`/clob stand for the three hosts."""

    url: str
    port: int
    app: web.Application
    universe: universe.Universe
    runner: web.AppRunner

    async def stop(self) -> None:
        """Stop answering; requests that hang are cut after a second."""
        await self.runner.cleanup()


def build(settings: options.SandboxOptions) -> web.Application:
    """The application. Raises OptionsError for a file that makes no sense."""
    world = _world(settings)
    born = time.monotonic()

    def now() -> int:
        return world.now + int(time.monotonic() - born)

    def late_visible() -> bool:
        return time.monotonic() - born >= settings.late_after_s

    limits = throttle.Throttle(
        time.monotonic,
        _limits(settings.limits),
        max_delay_s=settings.max_delay_s,
        max_queued=settings.max_queued,
    )
    positions_api = positions.Positions(world, settings.seed)
    _ = (
        positions_api.book
    )  # made now: later it would hold up the event loop, and so every other answer
    changing = changes.Changes(world, positions_api, now)
    fault_rules = faults.Faults(settings.seed, changing.check)
    statistics, table = stats.Stats(), routes.Routes()
    if settings.faults is not None:
        _read_faults(fault_rules, Path(settings.faults))
    official_api = official.Official(world, positions_api, now)
    official_api.prepare()
    _add_data_routes(
        table, data_api.DataApi(world, settings, now, late_visible), positions_api, official_api
    )
    _add_gamma_routes(table, gamma.Gamma(world.lists, settings.gamma_offset_cap))
    table.add(
        "/public-search",
        routes.Route("search", "gamma", ("all", "gamma", "search"), search.Search(world).answer),
    )
    _add_clob_routes(table, clob.Clob(world.lists))
    front = gateway.Gateway(settings, table, limits, fault_rules, statistics, changing=changing)
    app = web.Application()
    app[WORLD] = world
    app.cleanup_ctx.append(partial(_watched, statistics))
    known = truth.Truth(world, positions_api, official_api)
    switches = control_api.ControlApi(
        world, now, known, official_api, limits, fault_rules, statistics, front
    )
    switches.install(app.router)
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


async def start(settings: options.SandboxOptions) -> RunningSandbox:
    """Build and serve on `settings.host`; port 0 takes a free one."""
    gc.disable()  # nothing that is built goes away again, and there are millions of it
    try:
        app = await asyncio.to_thread(build, settings)
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()  # a collection over millions of rows would hold up every answer
    # A hanging answer must end when its client is gone, hence handler_cancellation.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
    await site.start()
    port = int(runner.addresses[0][1])
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    return RunningSandbox(f"http://{shown}:{port}", port, app, app[WORLD], runner)


def serve(settings: options.SandboxOptions) -> None:
    """Serve until SIGTERM or SIGINT; prints one line with the URL when ready."""
    if sys.platform == "win32":
        asyncio.run(_serve(settings))
        return
    import uvloop  # noqa: PLC0415  absent on Windows

    uvloop.run(_serve(settings))


async def _serve(settings: options.SandboxOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    running = await start(settings)
    sys.stdout.write(f"sandbox ready at {running.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await running.stop()


async def _watched(statistics: stats.Stats, _app: web.Application) -> AsyncIterator[None]:
    watch = asyncio.create_task(statistics.watch(), name="sandbox-watch")
    yield
    watch.cancel()


def _world(settings: options.SandboxOptions) -> universe.Universe:
    world = (
        replay.build(Path(settings.replay)) if settings.replay else universe_builder.build(settings)
    )
    # Made now, so that the first pages are not slower than the others and hold up nobody.
    _ = (world.by_wallet, world.by_condition, world.wallet_number, world.condition_number)
    token_derivation.fill_token_ids(world.lists.markets)
    return world.fork()


def _limits(chosen: str | float) -> dict[str, int | None]:
    text = str(chosen)
    try:
        if not Path(text).is_file():
            return throttle.resolve(text)
        named = orjson.loads(Path(text).read_bytes())
        holder = throttle.Throttle(
            time.monotonic, throttle.resolve("published"), max_delay_s=0, max_queued=0
        )
        holder.change(named)
    except (ValueError, AttributeError) as wrong:
        raise options.OptionsError(f"limits {text}: {wrong}") from wrong
    return {name: budget.limit for name, budget in holder.budgets.items()}


def _read_faults(fault_rules: faults.Faults, path: Path) -> None:
    try:
        fault_rules.add(orjson.loads(path.read_bytes()))
    except (OSError, ValueError) as wrong:
        raise options.OptionsError(f"faults file {path}: {wrong}") from wrong


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
