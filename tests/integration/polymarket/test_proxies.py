"""The API is asked through the proxy that the environment names; this machine never is."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from polybackfill import clocks, errors, redaction, worker_progress
from polybackfill.polymarket import endpoints, http, proxies, rate_limiter

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A forward proxy that answers for every host."""
    seen: list[web.Request] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        assert isinstance(request, web.BaseRequest)
        seen.append(request)  # type: ignore[arg-type]
        return web.json_response({"data": []})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


def client_of(url: str) -> http.Client:
    clock = clocks.SystemClock()
    shared = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock)
    return http.Client(base_urls={"data": url}, limits=shared, clock=clock, deadline_s=5.0)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_network_that_only_lets_the_proxy_out(monkeypatch, proxy, name):
    place, seen = proxy
    monkeypatch.setenv(name, f"http://me:p%40ssw0rd@{place}")
    client = client_of("http://api.corp.invalid/data")
    mark = worker_progress.Progress(clocks.SystemClock())
    reply = await client.get(endpoints.STATUS, {"a": "b"}, mark)
    await client.close()
    assert reply.status == 200
    (request,) = seen
    assert request.raw_path == "http://api.corp.invalid/data/v2/status?a=b"
    login = request.headers["Proxy-Authorization"].removeprefix("Basic ")
    assert base64.b64decode(login) == b"me:p@ssw0rd"


async def test_a_proxy_that_is_not_there_is_an_outage_and_its_password_is_not_told(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:p4ssw0rd@127.0.0.1:9")
    client = client_of("http://api.corp.invalid")
    with pytest.raises(errors.Retry) as told:
        await client.get(endpoints.STATUS, {}, worker_progress.Progress(clocks.SystemClock()))
    await client.close()
    assert "p4ssw0rd" not in str(told.value)


@pytest.mark.parametrize(
    ("base", "environment", "expected"),
    [
        ("https://data-api.polymarket.com", {}, None),
        ("https://data-api.polymarket.com", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://data-api.polymarket.com", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https://data-api.polymarket.com", {"HTTPS_PROXY": "p:1"}, "http://p:1"),
        ("https://data-api.polymarket.com", {"ALL_PROXY": "https://p:1"}, "https://p:1"),
        (
            "https://data-api.polymarket.com",
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "polymarket.com"},
            None,
        ),
        ("https://data-api.polymarket.com", {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        ("http://127.0.0.1:8080/data", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]:8080/data", {"ALL_PROXY": "http://p:1"}, None),
        ("http://localhost/data", {"http_proxy": "http://p:1"}, None),
    ],
)
def test_which_way_is_taken(monkeypatch, base, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    way = proxies.find_proxy(redaction.Url(base))
    assert (way and way.secret) == expected


def test_a_kind_of_proxy_that_is_not_supported_is_refused_in_words(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://me:s0cksecret@p:1080")
    with pytest.raises(errors.Stop, match="http:// and https:// proxies") as told:
        proxies.find_proxy(redaction.Url("https://data-api.polymarket.com"))
    assert told.value.exit_code == errors.EXIT_CONFIG
    assert "s0cksecret" not in str(told.value)
