"""The limits against a server of another process: how much is used, how much is too much.

    python tests/bench/bench_limits.py steady [--seconds 60] [--stalls]
    python tests/bench/bench_limits.py lowered --part 0.5
    python tests/bench/bench_limits.py cpu

`steady` asks activity (200 per 10 s) and trades (300 per 10 s) side by side with 0.6 s of latency
and counts at the server. `--stalls` blocks both event loops for 50 to 150 ms twice a second.
`lowered` lowers the limit of activity without a word after 30 s and lifts it 90 s later. `cpu` is
the processor time of the client for one page of 700 kB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import endpoints, http, rate_limiter

LATENCY_S = 0.6
LONGEST_DELAY_S = 8.0
PAGE = json.dumps({"data": [{"size": 5.0, "price": 0.5, "title": "x" * 40}] * 9_000}).encode()
PUBLISHED = {"/v2/activity": 200, "/v2/trades": 300}


class Window:
    """A sliding window that delays up to 8 s, then refuses."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.arrivals: list[float] = []
        self.served: list[float] = []
        self.refused = 0

    def arrive(self, now: float) -> float | None:
        """Seconds to wait, None to be refused."""
        self.arrivals.append(now)
        at = max([now, *self.served[-1:]])
        if len(self.served) >= self.limit:
            at = max(at, self.served[-self.limit] + endpoints.WINDOW_S)
        if at - now > LONGEST_DELAY_S:
            self.refused += 1
            return None
        self.served.append(at)
        return at - now


def fullest(times: list[float], window_s: float) -> int:
    most = oldest = 0
    for newest, at in enumerate(times):
        while times[oldest] <= at - window_s:
            oldest += 1
        most = max(most, newest - oldest + 1)
    return most


async def stall(rng: random.Random) -> None:
    """A machine that is busy elsewhere."""
    while True:
        await asyncio.sleep(rng.uniform(0.2, 0.8))
        time.sleep(rng.uniform(0.05, 0.15))  # noqa: ASYNC251 - blocking is the point


async def serve(*, stalls: bool) -> None:
    """The server; prints its port, answers until its standard input closes."""
    windows = {path: Window(limit) for path, limit in PUBLISHED.items()}

    async def page(request: web.Request) -> web.Response:
        window = windows[request.path]
        delay_s = window.arrive(time.monotonic())
        if delay_s is None:
            return web.json_response({"code": "rate_limited"}, status=429)
        await asyncio.sleep(delay_s + LATENCY_S)
        return web.json_response({"data": []})

    async def big(_request: web.Request) -> web.Response:
        return web.Response(body=PAGE, content_type="application/json")

    async def change(request: web.Request) -> web.Response:
        windows["/v2/activity"].limit = int(request.query["limit"])
        return web.json_response({})

    async def stats(_request: web.Request) -> web.Response:
        return web.json_response({path: vars(window) for path, window in windows.items()})

    app = web.Application()
    app.add_routes([web.get(path, page) for path in PUBLISHED])
    app.add_routes([web.get("/v2/positions", big), web.get("/change", change)])
    app.add_routes([web.get("/stats", stats)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    noise = asyncio.create_task(stall(random.Random(2))) if stalls else None
    await asyncio.to_thread(sys.stdin.read)
    if noise is not None:
        noise.cancel()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def server(*, stalls: bool) -> AsyncIterator[str]:
    command = [__file__, "serve", *(["--stalls"] if stalls else [])]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    port = int(await child.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stdin.close()
        await child.wait()


async def ask_for_ever(client: http.Client, route: endpoints.Route) -> None:
    mark = worker_progress.Progress(clocks.SystemClock())
    while True:
        with contextlib.suppress(errors.Retry):
            await client.get(route, {}, mark)


async def side_command(url: str) -> dict[str, dict[str, list[float]]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        answer: dict[str, dict[str, list[float]]] = await response.json()
        return answer


def client_of(url: str) -> tuple[http.Client, rate_limiter.RateLimiter]:
    clock = clocks.SystemClock()
    shared = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock)
    return http.Client(base_urls={"data": url}, limits=shared, clock=clock), shared


async def steady(seconds: float, *, stalls: bool) -> None:
    async with server(stalls=stalls) as url:
        client, shared = client_of(url)
        tasks = [
            asyncio.create_task(ask_for_ever(client, route))
            for route, workers in ((endpoints.ACTIVITY, 32), (endpoints.TRADES, 48))
            for _ in range(workers)
        ]
        if stalls:
            tasks.append(asyncio.create_task(stall(random.Random(1))))
        await asyncio.sleep(seconds + 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        report = await side_command(url + "/stats")
        budgets = shared.stats()
        await client.close()
    for path, window in report.items():
        arrivals = window["arrivals"]
        since = arrivals[0] + 3
        counted = sum(1 for at in arrivals if since <= at < since + seconds)
        limit = PUBLISHED[path]
        print(
            f"{path}: {counted / seconds:.2f}/s = {counted / seconds / limit * 10:.2%} of {limit}, "
            f"fullest window {fullest(arrivals, 10.0)}, refused {window['refused']}, "
            f"cuts {budgets[path]['cuts']}"
        )


async def lowered(part: float) -> None:
    limit = PUBLISHED["/v2/activity"]
    async with server(stalls=False) as url:
        client, shared = client_of(url)
        tasks = [asyncio.create_task(ask_for_ever(client, endpoints.ACTIVITY)) for _ in range(48)]
        for until, to_limit in ((30, int(limit * part)), (120, limit), (240, limit)):
            while time.monotonic() < STARTED + until:
                await asyncio.sleep(10)
                report = (await side_command(url + "/stats"))["/v2/activity"]
                stats = shared.stats()["/v2/activity"]
                served = sum(1 for at in report["served"] if at > time.monotonic() - 10)
                print(
                    f"{time.monotonic() - STARTED:6.1f} s  allowed {stats['allowed_per_s']:6.2f}/s "
                    f"served {served} in 10 s of {report['limit']}, refused {report['refused']}, "
                    f"in flight {stats['in_flight']}, cuts {stats['cuts']}",
                    flush=True,
                )
            await side_command(f"{url}/change?limit={to_limit}")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()


async def cpu(pages: int) -> None:
    route = endpoints.Route("data", "/v2/positions", ("/v2/positions",))
    async with server(stalls=False) as url:
        clock = clocks.SystemClock()
        shared = rate_limiter.RateLimiter(
            {"/v2/positions": endpoints.Budget(100_000, 1.0)}, clock=clock
        )
        client = http.Client(base_urls={"data": url}, limits=shared, clock=clock)
        mark = worker_progress.Progress(clock)
        await client.get(route, {}, mark)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(pages):
            await client.get(route, {}, mark)
        after = resource.getrusage(resource.RUSAGE_SELF)
        await client.close()
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{len(PAGE) / 1000:.0f} kB: {spent_s / pages * 1000:.2f} ms of processor per page")


STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("steady", "lowered", "cpu", "serve"))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--part", type=float, default=0.5)
    parser.add_argument("--stalls", action="store_true")
    asked = parser.parse_args()
    runs = {
        "steady": lambda: steady(asked.seconds, stalls=asked.stalls),
        "lowered": lambda: lowered(asked.part),
        "cpu": lambda: cpu(300),
        "serve": lambda: serve(stalls=asked.stalls),
    }
    asyncio.run(runs[asked.what]())


if __name__ == "__main__":
    main()
