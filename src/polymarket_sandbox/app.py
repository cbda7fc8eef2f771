"""The sandbox as a server: in this process for tests, or blocking for the command line."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
from aiohttp import web

from polymarket_sandbox import (
    apis,
    changes,
    control_api,
    faults,
    gateway,
    options,
    replay,
    stats,
    throttle,
    token_derivation,
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


def build(settings: options.SandboxOptions) -> web.Application:
    """The application. Raises OptionsError for a file that makes no sense."""
    world = _world(settings)
    born = time.monotonic()

    def now() -> int:
        return world.now + int(time.monotonic() - born)

    limits = throttle.Throttle(
        time.monotonic,
        _limits(settings.limits),
        max_delay_s=settings.max_delay_s,
        max_queued=settings.max_queued,
    )
    present = apis.PresentApis(world, settings, now)
    changing = changes.Changes(present, now)
    fault_rules = faults.Faults(settings.seed, changing.check)
    statistics = stats.Stats()
    if settings.faults is not None:
        _read_faults(fault_rules, Path(settings.faults))
    front = gateway.Gateway(settings, present, limits, fault_rules, statistics, changing=changing)
    app = web.Application()
    app[WORLD] = world
    app.cleanup_ctx.append(partial(_watched, statistics))
    switches = control_api.ControlApi(present, now, limits, fault_rules, statistics, front)
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
    return holder.limits


def _read_faults(fault_rules: faults.Faults, path: Path) -> None:
    try:
        fault_rules.add(orjson.loads(path.read_bytes()))
    except (OSError, ValueError) as wrong:
        raise options.OptionsError(f"faults file {path}: {wrong}") from wrong
