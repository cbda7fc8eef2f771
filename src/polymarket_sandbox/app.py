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
    query,
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


def build(asked: options.SandboxOptions) -> web.Application:
    """The application. Raises OptionsError for a file that makes no sense."""
    world = _world(asked)
    born = time.monotonic()

    def now() -> int:
        return world.now + int(time.monotonic() - born)

    def late_visible() -> bool:
        return time.monotonic() - born >= asked.late_after_s

    limits = throttle.Throttle(
        time.monotonic,
        _limits(asked.limits),
        max_delay_s=asked.max_delay_s,
        max_queued=asked.max_queued,
    )
    held = positions.Positions(world, asked.seed)
    _ = held.book  # made now: later it would hold up the event loop, and so every other answer
    changing = changes.Changes(world, held, now)
    rules = faults.Faults(asked.seed, changing.check)
    counted, table = stats.Stats(), routes.Routes()
    if asked.faults is not None:
        _read_faults(rules, Path(asked.faults))
    said = official.Official(world, held, now)
    said.prepare()
    _add_data_routes(table, data_api.DataApi(world, asked, now, late_visible), held, said)
    _add_gamma_routes(table, gamma.Gamma(world.lists, asked.gamma_offset_cap))
    table.add(
        "/public-search",
        routes.Route("search", "gamma", ("all", "gamma", "search"), search.Search(world).answer),
    )
    _add_clob_routes(table, clob.Clob(world.lists))
    front = gateway.Edge(asked, table, limits, rules, counted, changing=changing)
    app = web.Application()
    app[WORLD] = world
    app.cleanup_ctx.append(partial(_watched, counted))
    known = truth.Truth(world, held, said)
    switches = control_api.Control(world, now, known, said, limits, rules, counted, front)
    switches.install(app.router)
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


async def start(asked: options.SandboxOptions) -> RunningSandbox:
    """Build and serve on `asked.host`; port 0 takes a free one."""
    gc.disable()  # nothing that is built goes away again, and there are millions of it
    try:
        app = await asyncio.to_thread(build, asked)
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()  # a collection over millions of rows would hold up every answer
    # A hanging answer must end when its client is gone, hence handler_cancellation.
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    site = web.TCPSite(runner, asked.host, asked.port, backlog=1024)
    await site.start()
    port = int(runner.addresses[0][1])
    shown = f"[{asked.host}]" if ":" in asked.host else asked.host
    return RunningSandbox(f"http://{shown}:{port}", port, app, app[WORLD], runner)


def serve(asked: options.SandboxOptions) -> None:
    """Serve until SIGTERM or SIGINT; prints one line with the URL when ready."""
    if sys.platform == "win32":
        asyncio.run(_serve(asked))
        return
    import uvloop  # noqa: PLC0415  absent on Windows

    uvloop.run(_serve(asked))


async def _serve(asked: options.SandboxOptions) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    running = await start(asked)
    sys.stdout.write(f"sandbox ready at {running.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await running.stop()


async def _watched(counted: stats.Stats, _app: web.Application) -> AsyncIterator[None]:
    watch = asyncio.create_task(counted.watch(), name="sandbox-watch")
    yield
    watch.cancel()


def _world(asked: options.SandboxOptions) -> universe.Universe:
    world = replay.build(Path(asked.replay)) if asked.replay else universe_builder.build(asked)
    # Made now, so that the first pages are not slower than the others and hold up nobody.
    _ = (world.by_wallet, world.by_condition, world.wallet_number, world.condition_number)
    token_derivation.fill(world.lists.markets)
    return world.fork()


def _limits(asked: str | float) -> dict[str, int | None]:
    text = str(asked)
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


def _read_faults(rules: faults.Faults, path: Path) -> None:
    try:
        rules.add(orjson.loads(path.read_bytes()))
    except (OSError, ValueError) as wrong:
        raise options.OptionsError(f"faults file {path}: {wrong}") from wrong


def _add_data_routes(
    table: routes.Routes,
    api: data_api.DataApi,
    held: positions.Positions,
    said: official.Official,
) -> None:
    answers: dict[str, Callable[[query.Query], responses.Reply]] = {
        "trades": api.trades,
        "activity": api.activity,
        "positions": held.answer,
        "resolutions": api.resolutions,
        "user-volume": api.user_volume,
        "live-volume": api.live_volume,
        "user-stats": said.stats,
        "user-pnl": said.curve,
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
    answer: Callable[[query.Query], responses.Reply], _argument: str, raw_query: str
) -> responses.Reply:
    return answer(query.Query(raw_query))


def _alive(_argument: str, _raw_query: str) -> responses.Reply:
    return responses.as_json({"data": "OK"})
