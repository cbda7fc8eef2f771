"""What all answers hold together is bounded, and one of them always goes on."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import bodies, endpoints, http, http_session, rate_limiter

MB = 1 << 20


class Big:
    """A server whose answers are `mb` long; the last byte of each waits for `whole`."""

    def __init__(self) -> None:
        self.mb = 4
        self.whole = asyncio.Event()
        self.content = b""
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.content:
            headers = {"Content-Encoding": "gzip"}
            return web.Response(body=self.content, headers=headers, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(self.mb):
            await response.write(b" " * MB)
        await self.whole.wait()
        await response.write(b"{}")
        return response


@pytest.fixture
async def server() -> AsyncIterator[Big]:
    made = Big()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.whole.set()
    await runner.cleanup()


def client_of(url: str, most_bytes: int) -> http.Client:
    clock = clocks.SystemClock()
    budgets = {name: endpoints.Budget(100_000, 1.0) for name in endpoints.PUBLISHED}
    return http.Client(
        base_urls={"data": url},
        limits=rate_limiter.RateLimiter(budgets, clock=clock),
        clock=clock,
        bodies_limit_bytes=most_bytes,
    )


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  (nobody tells)
            await asyncio.sleep(0.01)


async def ask(client: http.Client) -> int:
    reply = await client.get(endpoints.STATUS, {}, worker_progress.Progress(clocks.SystemClock()))
    return len(reply.body)


async def test_many_large_answers_wait_for_each_other_and_all_arrive(server):
    client = client_of(server.url, 6 * MB)
    asking = [asyncio.create_task(ask(client)) for _ in range(12)]
    await until(lambda: client.bodies.waits)
    await asyncio.sleep(0.5)
    assert client.bodies.held_bytes <= (6 + 4) * MB  # the oldest may go beyond
    server.whole.set()
    assert await asyncio.gather(*asking) == [4 * MB + 2] * 12
    assert client.bodies.held_bytes == 0
    await client.close()


async def test_one_that_is_larger_than_the_bound_of_all_arrives(server):
    client = client_of(server.url, 1 * MB)
    server.whole.set()
    assert await asyncio.gather(ask(client), ask(client)) == [4 * MB + 2] * 2
    assert client.bodies.held_bytes == 0
    await client.close()


async def test_who_gives_up_makes_room(server):
    client = client_of(server.url, 5 * MB)
    first = asyncio.create_task(ask(client))
    await until(lambda: client.bodies.held_bytes >= 4 * MB)
    second = asyncio.create_task(ask(client))
    await until(lambda: client.bodies.waits)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.whole.set()
    assert await second == 4 * MB + 2
    await client.close()


async def test_an_answer_counts_until_it_is_let_go(server):
    client = client_of(server.url, 64 * MB)
    server.whole.set()
    reply = await client.get(endpoints.STATUS, {}, worker_progress.Progress(clocks.SystemClock()))
    assert client.bodies.held_bytes == len(reply.body)
    del reply
    assert client.bodies.held_bytes == 0
    await client.close()


async def test_a_bomb_is_cut_off_by_what_it_unpacks_to(server):
    server.content = gzip.compress(b" " * (200 * MB), compresslevel=1)
    client = client_of(server.url, bodies.MOST_BYTES)
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, client.bodies.held_bytes)
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    with pytest.raises(errors.Retry, match="longer than"):
        await ask(client)
    watching.cancel()
    assert peak <= http.BODY_LIMIT_BYTES + 2 * http_session.READ_BUFFER_BYTES
    assert client.bodies.held_bytes == 0
    await client.close()
