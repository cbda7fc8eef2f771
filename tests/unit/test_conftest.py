"""The shared fixtures do what their users rely on."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import blockbuster
import pytest


async def test_a_canned_reply_reaches_an_aiohttp_session(mocked_http):
    rows = [{"hash": f"{n:064x}"} for n in range(600)]
    mocked_http.get("http://upstream.invalid/page?limit=600", payload={"data": rows})
    async with (
        aiohttp.ClientSession() as session,
        session.get("http://upstream.invalid/page", params={"limit": "600"}) as reply,
    ):
        assert reply.status == 200
        assert (await reply.json())["data"] == rows


def read_this_file() -> bytes:
    return Path(__file__).read_bytes()


async def test_a_blocking_call_in_the_loop_is_refused(no_blocking_calls):
    with pytest.raises(blockbuster.BlockingError):
        read_this_file()


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: subprocess.run([sys.executable, "-V"], check=True),
        lambda: time.sleep(0.001),
    ],
    ids=["server", "process", "sleep"],
)
def test_what_makes_an_integration_test_is_refused(
    forbidden: Callable[[], object], refusals: list[str]
) -> None:
    with pytest.raises(AssertionError, match="no unit test"):
        forbidden()
    assert len(refusals) == 1
    refusals.clear()


async def test_a_night_of_waiting_takes_no_time() -> None:
    began_at = time.monotonic()
    await asyncio.gather(asyncio.sleep(8 * 3600), asyncio.to_thread(lambda: None))
    assert asyncio.get_running_loop().time() >= 8 * 3600
    assert time.monotonic() - began_at < 60
