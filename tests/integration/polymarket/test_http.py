"""Every way a server can misbehave ends in one of the error classes, and in time."""

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import endpoints, http, rate_limiter, retry

GOOD = b'{"data":[],"pagination":{"has_more":false,"next_cursor":null}}'
ROUTE = endpoints.TRADES
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CLOUDFLARE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"


def answer(
    status: int, body: bytes = GOOD, kind: str = "application/json", **headers: str
) -> bytes:
    """A whole HTTP/1.1 answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Raw:
    """A server of plain sockets: one handler per request, requests written down."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.handlers: list[Handler] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def script(self, *answers: bytes | Handler) -> None:
        """Answer so, one after the other; the last one again and again."""
        self.handlers = [_send(item) if isinstance(item, bytes) else item for item in answers]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while not writer.is_closing():
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                handler = self.handlers.pop(0) if len(self.handlers) > 1 else self.handlers[0]
                await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client went away
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def _send(payload: bytes) -> Handler:
    async def handler(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(payload)
        await writer.drain()

    return handler


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client goes away


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    )
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def truncate(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200)[:-20])
    await writer.drain()
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Raw]:
    raw = Raw()
    listener = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield raw
    listener.close()
    await raw.close()


@contextlib.asynccontextmanager
async def client_of(url: str, **options: object) -> AsyncIterator[http.Client]:
    clock = clocks.SystemClock()
    budgets = {name: endpoints.Budget(1000, 1.0) for name in ROUTE.budgets}
    shared = rate_limiter.RateLimiter(budgets, clock=clock)
    client = http.Client(base_urls={"data": url}, limits=shared, clock=clock, **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def client(server: Raw) -> AsyncIterator[http.Client]:
    async with client_of(server.url, deadline_s=0.4, refusal_pause_s=0.0) as client:
        yield client


@pytest.fixture
def mark() -> worker_progress.Progress:
    return worker_progress.Progress(clocks.SystemClock())


async def test_a_good_answer_arrives_whole(server, client, mark):
    server.script(answer(200, x_trace_id="abc"))
    reply = await client.get(ROUTE, {"condition": "0xab", "limit": "1000"}, mark)
    assert (reply.status, reply.body) == (200, GOOD)
    assert reply.headers["X-Trace-Id"] == "abc"
    assert reply.url == f"{server.url}/v2/trades?condition=0xab&limit=1000"
    assert 0 < reply.ttfb_s < 0.4
    head = server.requests[0]
    assert head.startswith(b"GET /v2/trades?condition=0xab&limit=1000 HTTP/1.1\r\n")
    assert b"\r\nUser-Agent: polybackfill/" in head


async def test_parameters_reach_the_server_as_they_were_given(server, client, mark):
    server.script(answer(200))
    cursor = "eyJhIjoi+/=="
    await client.get(ROUTE, [("condition", "0xab,0xcd"), ("cursor", cursor)], mark)
    target = server.requests[0].split(b" ")[1]
    assert target == b"/v2/trades?condition=0xab,0xcd&cursor=eyJhIjoi%2B/%3D%3D"


async def test_a_base_url_with_a_path_keeps_it(server, mark):
    server.script(answer(200))
    async with client_of(server.url + "/proxy/") as client:
        await client.get(ROUTE, {}, mark)
    assert server.requests[0].startswith(b"GET /proxy/v2/trades HTTP")


async def test_broken_json_is_for_the_parser_to_judge(server, client, mark):
    server.script(answer(200, b'{"data":[{"si'))
    assert (await client.get(ROUTE, {}, mark)).body == b'{"data":[{"si'


RETRIED = {
    "408": answer(408),
    "425": answer(425),
    "500": answer(500, b'{"type":"internal error","error":"cannot get the information"}'),
    "502 page": answer(502, CLOUDFLARE, "text/html"),
    "503": answer(503, b'{"error":"busy","code":"request_timeout","retryable":true}'),
    "504": answer(504, b""),
    "520": answer(520, CLOUDFLARE, "text/html; charset=UTF-8"),
    "530": answer(530, b"error code: 1033", "text/plain"),
    "202": answer(202),
    "page with 200": answer(200, CLOUDFLARE, "text/html"),
    "page that calls itself JSON": answer(200, b"\n <html>", "application/json"),
    "empty body": answer(200, b""),
    "reset": reset,
    "hang-up": hang_up,
    "no answer": hang,
    "dripping body": drip,
    "truncated body": truncate,
    "broken compression": answer(200, b"\x1f\x8b\x08\x00garbage garbage", Content_Encoding="gzip"),
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
    "unknown compression": answer(200, b"abc", Content_Encoding="br"),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
}


@pytest.mark.parametrize("fault", RETRIED)
async def test_what_may_pass_is_retried_and_in_time(server, client, mark, fault):
    """Seed 001, connector: 5xx, timeouts and HTML bodies are handled by class."""
    server.script(RETRIED[fault])
    started = time.monotonic()
    with pytest.raises(errors.Retry) as raised:
        await client.get(ROUTE, {"user": "0xab"}, mark)
    assert time.monotonic() - started < 2.0
    assert "/v2/trades?user=0xab" in str(raised.value)
    assert raised.value.pause_host_s is None


async def test_closing_the_client_ends_requests_under_way_with_a_retry(server, mark):
    server.script(hang)
    async with client_of(server.url) as client:
        asking = asyncio.create_task(client.get(ROUTE, {}, mark))
        while not server.requests:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(errors.Retry):
            await asking


async def test_nobody_there_is_retried(mark):
    async with client_of("http://127.0.0.1:1") as client:
        with pytest.raises(errors.Retry, match=r"127\.0\.0\.1:1"):
            await client.get(ROUTE, {}, mark)


async def test_a_name_that_does_not_resolve_is_retried(mark):
    async with client_of("http://no-such-host.invalid") as client:
        with pytest.raises(errors.Retry, match="no-such-host"):
            await client.get(ROUTE, {}, mark)


async def test_a_broken_connection_is_never_asked_twice_behind_our_back(server, client, mark):
    server.script(answer(200), hang_up, answer(200))
    await client.get(ROUTE, {}, mark)  # the connection is kept alive …
    with pytest.raises(errors.Retry):
        await client.get(ROUTE, {}, mark)  # … and breaks here
    assert len(server.requests) == 2


async def test_a_body_beyond_the_cap_is_cut_off(server, mark):
    server.script(answer(200, b" " * 300_000))
    async with client_of(server.url, body_limit_bytes=100_000) as client:
        with pytest.raises(errors.Retry, match="longer than 100000 bytes"):
            await client.get(ROUTE, {}, mark)


async def test_a_question_the_server_rejects_is_given_up_with_its_words(server, client, mark):
    """Seed 001, connector: 400 is handled by class."""
    server.script(
        answer(
            400,
            b'{"error":"limit must be between 0 and 1000","code":"invalid_request",'
            b'"retryable":false,"parameter":"limit","trace_id":"72fc"}',
        )
    )
    with pytest.raises(errors.GiveUp) as raised:
        await client.get(ROUTE, {"limit": "5000"}, mark)
    assert raised.value.status == 400
    assert "limit must be between 0 and 1000, parameter limit, trace_id 72fc" in str(raised.value)
    assert "limit=5000" in str(raised.value)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 410, 422])
async def test_other_refusals_are_final(server, client, mark, status):
    """Seed 001, connector: 404 and other refusals are handled by class."""
    server.script(answer(status, b'{"error":"no"}', Location="/elsewhere"))
    with pytest.raises(errors.GiveUp) as raised:
        await client.get(ROUTE, {}, mark)
    assert raised.value.status == status
    assert len(server.requests) == 1


async def test_a_long_error_text_is_shortened(server, client, mark):
    server.script(answer(400, b"x" * 100_000, "text/plain"))
    with pytest.raises(errors.GiveUp) as raised:
        await client.get(ROUTE, {}, mark)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("status", [451, 453])
async def test_a_blocked_region_stops_the_run(server, client, mark, status):
    server.script(answer(status, CLOUDFLARE, "text/html"))
    with pytest.raises(errors.Stop, match="region") as raised:
        await client.get(ROUTE, {}, mark)
    assert raised.value.exit_code == errors.EXIT_UNAVAILABLE


async def test_a_block_page_pauses_the_host_and_splits_the_batch(server, mark):
    server.script(answer(403, CLOUDFLARE, "text/html"))
    async with client_of(server.url, refusal_pause_s=90.0) as client:
        with pytest.raises(errors.Retry, match="Attention Required") as raised:
            await client.get(ROUTE, {}, mark)
    assert (raised.value.split, raised.value.pause_host_s) == (True, 90.0)


async def test_a_refusal_page_without_a_time_pauses_the_host(server, mark):
    server.script(answer(429, CLOUDFLARE, "text/html"))
    async with client_of(server.url, refusal_pause_s=90.0) as client:
        with pytest.raises(errors.Retry) as raised:
            await client.get(ROUTE, {}, mark)
    assert (raised.value.after_s, raised.value.pause_host_s) == (None, 90.0)


async def test_a_refusal_without_a_page_or_a_time_leaves_the_wait_to_the_limits(
    server, client, mark
):
    server.script(answer(429, b'{"error":"slow down","code":"rate_limited"}'))
    with pytest.raises(errors.Retry) as raised:
        await client.get(ROUTE, {}, mark)
    assert (raised.value.after_s, raised.value.pause_host_s) == (None, None)


@pytest.mark.parametrize("status", [429, 503])
async def test_everybody_waits_as_long_as_the_server_asked(server, mark, status):
    """Seed 001, connector: 429 is handled by class."""
    server.script(answer(status, Retry_After="0.3"), answer(200))
    async with client_of(server.url) as client:
        with pytest.raises(errors.Retry) as raised:
            await client.get(ROUTE, {}, mark)
        refused_at = time.monotonic()
        await client.get(ROUTE, {}, mark)
        waited_s = time.monotonic() - refused_at
    assert raised.value.after_s == raised.value.pause_host_s == 0.3
    assert 0.28 <= waited_s < 1.5


def reply_of(status: int = 429, body: bytes = b"", **headers: str) -> http.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.Response(status, body, named, 0.1, "http://x/")


NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (reply_of(), None),
        (reply_of(Retry_After="7"), 7.0),
        (reply_of(Retry_After="0"), 0.0),
        (reply_of(Retry_After="-3"), 0.0),
        (reply_of(Retry_After="86400"), 600.0),
        (reply_of(Retry_After="soon"), None),
        (reply_of(Retry_After="nan"), None),
        (reply_of(Retry_After=email.utils.formatdate(NOW + 30, usegmt=True)), 30.0),
        (reply_of(Retry_After=email.utils.formatdate(NOW - 30, usegmt=True)), 0.0),
        (
            # Our clock is an hour off; the server's own Date tells how long.
            reply_of(
                Retry_After=email.utils.formatdate(NOW + 3630, usegmt=True),
                Date=email.utils.formatdate(NOW + 3600, usegmt=True),
            ),
            30.0,
        ),
        (reply_of(body=b'{"retry_after_seconds": 12}'), 12.0),
        (reply_of(body=b'{"retry_after_seconds": "x"}'), None),
        (reply_of(body=b"[1]"), None),
    ],
)
def test_how_long_to_wait_is_read_in_every_form(reply, seconds):
    assert http.retry_after_s(reply, NOW) == seconds


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200),
    kind=st.sampled_from(["application/json", "text/html", ""]),
    after=st.one_of(st.none(), st.text(max_size=20)),
)
def test_any_answer_is_either_read_or_one_of_the_classes(status, body, kind, after):
    headers = {"Content-Type": kind} | ({} if after is None else {"Retry-After": after})
    reply = http.Response(status, body, headers, 0.1, "http://x/y")
    verdict = http.translate(reply, "http://x/y", now=NOW, refusal_pause_s=90.0)
    if isinstance(verdict, http.Response):
        assert status == 200
        assert body
    else:
        assert isinstance(verdict, errors.Retry | errors.GiveUp | errors.Stop)
        assert "http://x/y" in str(verdict)


async def test_an_hourly_new_session_loses_no_request(mark):
    async def page(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(body=GOOD, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v2/trades", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with client_of(f"http://127.0.0.1:{port}", session_life_s=0.02) as client:
        got = await asyncio.gather(*(client.get(ROUTE, {}, mark) for _ in range(60)))
    await runner.cleanup()
    assert [reply.body for reply in got] == [GOOD] * 60


async def test_compressed_pages_are_unpacked(mark):
    async def page(_request: web.Request) -> web.Response:
        response = web.Response(body=GOOD * 10_000, content_type="application/json")
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_get("/v2/trades", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with client_of(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
        reply = await client.get(ROUTE, {}, mark)
    await runner.cleanup()
    assert reply.headers["Content-Encoding"] in ("gzip", "deflate")
    assert reply.body == GOOD * 10_000


async def test_a_cancelled_request_gives_everything_back(server, client, mark):
    server.script(hang)
    asking = asyncio.create_task(client.get(ROUTE, {}, mark))
    while not server.requests:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert client.answers.silent_s(ROUTE) > 0
    server.script(answer(200))
    await client.get(ROUTE, {}, mark)
    assert client.answers.silent_s(ROUTE) == 0


# ── asking until it is good ───────────────────────────────────────────────────────────────────


class Paper:
    """A clock whose sleeps take no time and are written down."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


async def fetch(
    client: http.Client,
    paper: Paper,
    check: Callable[[http.Response], object] = lambda reply: reply.body,
    attempts: int = 4,
    mark: worker_progress.Progress | None = None,
) -> object:
    mark = mark or worker_progress.Progress(paper)

    async def attempt() -> object:
        return check(await client.get(ROUTE, {}, mark))

    return await retry.PageRetries(attempts, paper, random.Random(1)).run(attempt, mark)


async def test_a_page_is_asked_for_until_it_is_good(server, client):
    server.script(answer(500), reset, answer(200))
    paper = Paper()
    assert await fetch(client, paper) == GOOD
    assert len(paper.slept) == 2
    assert len(server.requests) == 3


async def test_an_answer_that_makes_no_sense_is_one_more_try_of_the_page(server, client):
    server.script(answer(200, b"{"), answer(200))

    def check(reply: http.Response) -> bytes:
        if reply.body == b"{":
            raise errors.Retry("not JSON")
        return reply.body

    assert await fetch(client, Paper(), check) == GOOD


async def test_used_up_attempts_raise_the_last_retry(server, client):
    server.script(answer(502))
    with pytest.raises(errors.Retry, match="502"):
        await fetch(client, Paper(), attempts=3)
    assert len(server.requests) == 3


async def test_the_wait_is_the_one_the_server_asked_for(server, client):
    server.script(answer(500, Retry_After="17"), answer(200))
    paper = Paper()
    await fetch(client, paper)
    assert paper.slept == [17.0]


async def test_a_wait_of_nothing_does_not_use_up_the_attempts_at_once(server, client):
    server.script(answer(503, Retry_After="0"), answer(503, Retry_After="0"), answer(200))
    paper = Paper()
    await fetch(client, paper)
    assert sum(paper.slept) > 0.1


async def test_a_batch_to_be_split_is_not_asked_again_unsplit(server, client):
    server.script(answer(403, CLOUDFLARE, "text/html"))
    with pytest.raises(errors.Retry) as raised:
        await fetch(client, Paper())
    assert raised.value.split
    assert len(server.requests) == 1


async def test_a_final_answer_is_final(server, client):
    server.script(answer(404))
    with pytest.raises(errors.GiveUp):
        await fetch(client, Paper())
    assert len(server.requests) == 1


async def test_backing_off_is_a_declared_wait(server, client):
    server.script(answer(500), answer(200))
    reasons = []

    class Watching(Paper):
        async def sleep(self, seconds: float) -> None:
            reasons.append(mark.wait_reason)

    paper = Watching()
    mark = worker_progress.Progress(paper)
    await fetch(client, paper, attempts=2, mark=mark)
    assert reasons == ["back-off"]


@given(attempt=st.integers(1, 200), seed=st.integers())
def test_back_off_grows_and_has_an_end(attempt, seed):
    wait_s = retry.backoff_s(attempt, random.Random(seed), cap_s=60.0)
    assert 0.0 <= wait_s <= min(60.0, 0.5 * 2.0 ** (attempt - 1))
