"""Canned replies leave real servers alone."""

from __future__ import annotations

import aiohttp
from aiohttp import web


async def test_loopback_requests_pass_the_canned_replies_by(mocked_http):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="real")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/") as reply,
    ):
        assert await reply.text() == "real"
    await runner.cleanup()
