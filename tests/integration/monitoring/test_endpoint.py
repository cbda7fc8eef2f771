"""The endpoint over real loopback HTTP: what it serves, to whom, and what a bad reader costs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from tests.integration import conftest as integration_conftest
from tests.unit.monitoring import conftest

from polybackfill import errors, redaction
from polybackfill.monitoring import (
    endpoint,
    event_stream,
    latest_facts,
    listen_address,
    web_server,
)

SIGNED = {"Authorization": f"Bearer {conftest.TOKEN}"}
PROTECTED = ("/metrics", "/status.json", "/events", "/", "/nothing")


@pytest.fixture
def latest() -> latest_facts.LatestFacts:
    return latest_facts.LatestFacts(conftest.RUN_NAME)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def test_health_is_for_everybody_and_says_nothing_of_the_work(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    async with conftest.listening(latest) as url:
        answers = []
        for changed in (None, {}, {"still_s": 500.0}, {"state": "failed"}):
            if changed is not None:
                latest.publish(conftest.picture(**changed))
            for path in ("/health", "/health/live", "/health/ready"):
                async with session.get(url + path) as response:
                    document = await response.json()
                    answers.append(response.status)
            assert set(document) == {"state", "ready", "live", "stalled", "crashed"}
    assert answers == [200, 200, 503, 200, 200, 200, 503, 503, 503, 503, 503, 503]


@pytest.mark.parametrize("path", PROTECTED)
async def test_without_the_token_nothing_else_is_served(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession, path: str
) -> None:
    latest.publish(conftest.picture())
    async with conftest.listening(latest) as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": conftest.TOKEN}):
            async with session.get(url + path, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert conftest.RUN_NAME not in await response.text()
        async with session.get(f"{url}{path}?token={conftest.TOKEN}") as response:
            assert response.status == 401


@pytest.mark.parametrize("path", [*PROTECTED, "/health"])
async def test_foreign_hosts_and_origins_are_refused_whatever_they_know(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession, path: str
) -> None:
    async with conftest.listening(latest) as url:
        for headers, status in (
            ({"Host": "evil.example"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
        ):
            async with session.get(url + path, headers={**SIGNED, **headers}) as response:
                assert response.status == status


async def test_nothing_can_be_changed_and_nothing_is_a_page(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    held_back = {"markets": "a market titled <script>alert(1)</script>"}
    latest.publish(conftest.picture(held_back=held_back))
    async with conftest.listening(latest) as url:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            async with session.request(method, f"{url}/status.json", headers=SIGNED) as response:
                assert response.status == 405
        async with session.get(f"{url}/status.json", headers=SIGNED) as response:
            assert response.content_type == "application/json"
            assert (await response.json())["held_back"] == held_back
        for path in ("/status.json", "/metrics", "/health", "/nothing"):
            async with session.get(url + path, headers=SIGNED) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                assert "html" not in response.content_type


async def test_no_secret_is_served(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    redaction.remember(["S3cr3t/Pl4nted"])
    why = 'refused by https://host.example/S3cr3t%2FPl4nted and "S3cr3t/Pl4nted"'
    latest.publish(conftest.picture(held_back={"markets": why}))
    async with conftest.listening(latest) as url:
        for path in ("/status.json", "/metrics"):
            async with session.get(url + path, headers=SIGNED) as response:
                assert "Pl4nted" not in await response.text()
        async with session.get(f"{url}/events", headers=SIGNED) as response:
            assert b"Pl4nted" not in await response.content.readuntil(b"}\n\n")


async def next_event(response: aiohttp.ClientResponse) -> dict[str, object]:
    """The data of the next event, as a browser reads it."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(5):
        while line := (await response.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
    if "data" not in fields:
        return await next_event(response)
    assert fields["event"] == "status"
    return {"id": int(fields["id"]), **json.loads(fields["data"])}


async def test_events_begin_with_the_newest_picture_and_go_on_with_each(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    async with (
        conftest.listening(latest) as url,
        session.get(f"{url}/events", headers=SIGNED) as response,
    ):
        assert response.content_type == "text/event-stream"
        assert (await next_event(response))["state"] == "starting"
        for share in (0.1, 0.2):
            latest.publish(conftest.picture(share=share))
            assert (await next_event(response))["share"] == share


async def test_readers_that_have_gone_leave_their_places(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    """Nothing is published meanwhile, so no write can find out that they have gone."""
    async with conftest.listening(latest) as url:
        for _ in range(event_stream.MOST_STREAMS + 4):
            async with session.get(f"{url}/events", headers=SIGNED) as response:
                assert response.status == 200
        async with session.get(f"{url}/events", headers=SIGNED) as response:
            assert response.status == 200
            assert (await next_event(response))["state"] == "starting"


async def test_a_reader_that_takes_nothing_holds_nobody_up(
    latest: latest_facts.LatestFacts,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "_WRITE_S", 0.2)
    long_text = {"markets": "x" * 500_000}
    async with conftest.listening(latest) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {conftest.TOKEN}"
        writer.write(f"{head}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        for number in range(40):
            latest.publish(conftest.picture(held_back=long_text, share=number / 40))
            await asyncio.sleep(0.01)
        async with session.get(f"{url}/events", headers=SIGNED) as response:
            assert (await next_event(response))["share"] == 39 / 40
        writer.close()


def read_events(url: str) -> socket.socket:
    """A reader of events whose socket is in the hands of the test."""
    reader = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)
    head = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {conftest.TOKEN}"
    reader.sendall(f"{head}\r\n\r\n".encode())
    return reader


def stop_reading(_reader: socket.socket) -> None:
    """As a process that is suspended: its kernel still answers."""


def close(reader: socket.socket) -> None:
    """As a tab that is closed."""
    reader.close()


def reset(reader: socket.socket) -> None:
    """As a process that is killed with rows unread."""
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader.close()


def vanish(reader: socket.socket) -> None:
    """As a machine that sleeps: a filter drops all that comes, so nothing is acknowledged."""
    return_nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(return_nothing))
    reader.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def count_sockets() -> int:
    """How many of this process are open."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return count


@pytest.mark.parametrize(
    ("go_away", "published"),
    [
        (stop_reading, True),  # without news nothing tells that nothing is read
        *((one, published) for one in (close, reset, vanish) for published in (True, False)),
    ],
)
async def test_who_goes_away_leaves_nothing_behind(
    latest: latest_facts.LatestFacts,
    monkeypatch: pytest.MonkeyPatch,
    go_away: Callable[[socket.socket], None],
    published: bool,
) -> None:
    """Neither a place, nor a handler, nor a socket with what it holds unsent."""
    monkeypatch.setattr(web_server, "_GONE_S", 1)
    monkeypatch.setattr(event_stream, "MOST_STREAMS", 1)
    long_text = {"markets": "x" * 500_000}
    async with conftest.listening(latest) as url:
        before, tasks = count_sockets(), len(asyncio.all_tasks())
        reader = await asyncio.to_thread(read_events, url)
        await asyncio.to_thread(reader.recv, 1_000)
        assert count_sockets() == before + 2
        go_away(reader)

        def is_gone() -> bool:
            if published:
                latest.publish(conftest.picture(held_back=long_text))
            own = 0 if reader.fileno() < 0 else 1
            return count_sockets() == before + own and len(asyncio.all_tasks()) == tasks

        await integration_conftest.until(is_gone, "the end of the connection", within_s=8)
        again = await asyncio.to_thread(read_events, url)
        assert (await asyncio.to_thread(again.recv, 12)) == b"HTTP/1.1 200"
        again.close()
        reader.close()


async def test_who_takes_nothing_is_cut_off_and_not_waited_for(
    latest: latest_facts.LatestFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the kernel knows no bound for it."""
    monkeypatch.setattr(event_stream, "_WRITE_S", 0.2)
    long_text = {"markets": "x" * 500_000}
    async with conftest.listening(latest) as url:
        before = count_sockets()
        reader = await asyncio.to_thread(read_events, url)

        def is_gone() -> bool:
            latest.publish(conftest.picture(held_back=long_text))
            return count_sockets() == before + 1

        await integration_conftest.until(lambda: count_sockets() == before + 2, "the connection")
        await integration_conftest.until(is_gone, "the end of the connection")
        reader.close()


async def test_readers_of_events_are_counted(
    latest: latest_facts.LatestFacts,
    session: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "MOST_STREAMS", 2)

    async def status(url: str) -> int:
        async with session.get(f"{url}/events", headers=SIGNED) as response:
            return response.status

    async with conftest.listening(latest) as url:
        first = await session.get(f"{url}/events", headers=SIGNED)
        second = await session.get(f"{url}/events", headers=SIGNED)
        assert (first.status, second.status, await status(url)) == (200, 200, 503)
        first.close()

        async with asyncio.timeout(5):
            while await status(url) != 200:
                latest.publish(conftest.picture())  # who has gone is met at the next write
        second.close()


async def test_it_closes_while_somebody_reads(
    latest: latest_facts.LatestFacts, session: aiohttp.ClientSession
) -> None:
    async with asyncio.timeout(5):
        async with conftest.listening(latest) as url:
            response = await session.get(f"{url}/events", headers=SIGNED)
            await next_event(response)
        response.close()
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{url}/health")


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = listen_address.ListenAddress("127.0.0.1", taken.getsockname()[1])
        access = listen_address.Access(address, conftest.TOKEN)
        served = endpoint.Endpoint(latest_facts.LatestFacts("main"), access, stall_s=120.0)
        with pytest.raises(errors.Stop, match=f"BACKFILL_LISTEN = .*:{address.port} .*") as stop:
            await served.open()
    assert stop.value.exit_code == errors.EXIT_UNAVAILABLE


async def test_a_fault_of_ours_is_logged_and_says_nothing(
    latest: latest_facts.LatestFacts,
    session: aiohttp.ClientSession,
    events: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint.metrics, "render_metrics", lambda *_: 1 / 0)
    async with conftest.listening(latest) as url:
        async with session.get(f"{url}/metrics", headers=SIGNED) as response:
            assert response.status == 500
            assert "ZeroDivision" not in await response.text()
        await integration_conftest.until(lambda: events, "the log line")
    assert events[0]["event"] == "endpoint.broken"
