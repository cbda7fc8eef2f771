"""The shared fixtures do what their users rely on."""

from __future__ import annotations

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
