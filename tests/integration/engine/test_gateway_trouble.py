"""A gateway that misroutes for a while costs no unit; a key that is bad by itself ends alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from tests import harness
from tests.integration.engine import conftest

from polybackfill import errors
from polybackfill.engine import worker


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit given back is taken again sooner than in a night."""
    monkeypatch.setattr(worker, "_AGAIN_S", 0.1)


LOGIN = "<!doctype html><html><head><title>Sign in to Free WiFi</title></head></html>"
ERROR = '{"error":"no upstream","code":"gateway"}'
# What stands before the API may answer to everything, for a while.
TROUBLES: dict[str, Callable[[], web.Response]] = {
    "400": lambda: web.Response(status=400, text=ERROR, content_type="application/json"),
    "400 of nginx": lambda: web.Response(status=400, text="400 Bad Request"),
    "401": lambda: web.Response(status=401, text=ERROR, content_type="application/json"),
    "403": lambda: web.Response(status=403, text=ERROR, content_type="application/json"),
    "404": lambda: web.Response(status=404, text=ERROR, content_type="application/json"),
    "404 page": lambda: web.Response(status=404, text=LOGIN, content_type="text/html"),
    "405": lambda: web.Response(status=405, text=""),
    "407": lambda: web.Response(status=407, text="proxy authentication required"),
    "410": lambda: web.Response(status=410, text=ERROR, content_type="application/json"),
    "421": lambda: web.Response(status=421, text=""),
    "301": lambda: web.Response(status=301, headers={"Location": "https://login.example/"}),
    "302": lambda: web.Response(status=302, headers={"Location": "http://portal.example/"}),
    "304": lambda: web.Response(status=304),
    "307": lambda: web.Response(status=307, headers={"Location": "https://login.example/"}),
    "200 login page": lambda: web.Response(text=LOGIN, content_type="text/html"),
    "200 login page as JSON": lambda: web.Response(text=LOGIN, content_type="application/json"),
    "200 empty": lambda: web.Response(text="", content_type="application/json"),
    "200 ok": lambda: web.Response(text="OK"),
    "200 error": lambda: web.Response(text=ERROR, content_type="application/json"),
    "200 null": lambda: web.Response(text="null", content_type="application/json"),
    "200 other": lambda: web.Response(text='{"status":"up"}', content_type="application/json"),
    "204": lambda: web.Response(status=204),
    "418": lambda: web.Response(status=418, text="teapot"),
}


class Gateway:
    """Passes everything on to `upstream`, but for what `answers` takes over."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.answers: Callable[[web.Request], web.Response | None] = lambda _request: None
        self.requests = 0
        self.in_use = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.requests >= 5:
            self.in_use.set()
        if (answer := self.answers(request)) is not None:
            return answer
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.upstream + request.path_qs) as response,
        ):
            body, kind = await response.read(), response.content_type
            return web.Response(status=response.status, body=body, content_type=kind)


@pytest.fixture
async def gateway(sandbox: harness.Sandbox) -> AsyncIterator[Gateway]:
    made = Gateway(sandbox.url)
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_no_unit_is_lost_to_a_gateway_that_misroutes_for_a_while(
    trouble: str, new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, gateway: Gateway
) -> None:
    feed = conftest.wallets(sandbox, 8)
    small_run = new_small_run(no_progress_s=20.0)
    small_run.url = gateway.url
    small_run.__post_init__()
    small_run.options |= {"max_attempts": 3, "page_attempts": 6}
    working = asyncio.create_task(small_run.supervise(feed).run())
    await gateway.in_use.wait()
    gateway.answers = lambda _request: TROUBLES[trouble]()
    await asyncio.sleep(0.4)
    gateway.answers = lambda _request: None
    assert await working == errors.EXIT_OK
    assert small_run.checkpoint.failed_units() == []
    assert all(small_run.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)


@pytest.mark.parametrize("trouble", ["400", "404", "302", "403", "410"])
async def test_a_key_that_is_refused_while_others_work_ends_alone(
    trouble: str, new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, gateway: Gateway
) -> None:
    feed = conftest.wallets(sandbox, 4)
    bad = feed[1].keys[0]
    small_run = new_small_run()
    small_run.url = gateway.url
    small_run.__post_init__()
    gateway.answers = lambda request: TROUBLES[trouble]() if bad in request.query_string else None
    assert await small_run.supervise(feed).run() == errors.EXIT_UNITS_IN_ERROR
    (failed,) = small_run.checkpoint.failed_units()
    assert failed.unit.keys == (bad,)
    assert f"answered {trouble}" in failed.error
    assert all(
        small_run.checkpoint.is_done("wallets", unit.keys[0])
        for unit in feed
        if bad not in unit.keys
    )


async def test_a_gateway_that_never_recovers_ends_the_run_with_75_and_no_unit(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, gateway: Gateway
) -> None:
    feed = conftest.wallets(sandbox, 4)
    small_run = new_small_run(no_progress_s=2.0)
    small_run.url = gateway.url
    small_run.__post_init__()
    gateway.answers = lambda _request: TROUBLES["404"]()
    with pytest.raises(errors.Stop) as caught:
        await small_run.supervise(feed).run()
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE
    assert small_run.checkpoint.failed_units() == []
    assert gateway.requests < 40  # one asks for all
