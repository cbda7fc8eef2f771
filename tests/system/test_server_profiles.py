"""A real server whose user has a profile that forbids what a run needs: refused in words."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping

import aiohttp
import pytest
from aiohttp import web
from tests import harness, loopback, real_server

from polybackfill import errors


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@contextlib.contextmanager
def behind(server: real_server.Server, profile: Mapping[str, str]) -> Iterator[int]:
    """A port at which the server answers as for a user with that profile: what a request says of a
    setting itself counts more.
    """

    async def pass_on(request: web.Request) -> web.Response:
        params = {**profile, **request.query}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                server.url, params=params, data=io.BytesIO(await request.read())
            ) as answer,
        ):
            body = await answer.read()
            kept = ("X-ClickHouse-Summary", "X-ClickHouse-Exception-Code", "Content-Type")
            headers = {name: answer.headers[name] for name in kept if name in answer.headers}
            return web.Response(status=answer.status, body=body, headers=headers)

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", pass_on)
    with loopback.serving(app, max_line_size=1 << 20, max_field_size=1 << 20) as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_server.Server]:
    folder = tmp_path_factory.mktemp("tokyo")
    with real_server.running(folder, {"TZ": "Asia/Tokyo"}) as running:
        assert running.sql("SELECT timezone()") == "Asia/Tokyo\n"
        yield running


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"readonly": "1"}, "profile of user 'default'"),
        ({"readonly": "2"}, "profile of user 'default'"),
        ({"allow_ddl": "0"}, "Grant the right"),
    ],
)
def test_a_profile_that_cannot_do_is_refused_in_words(
    ground: harness.Ground,
    server: real_server.Server,
    profile: dict[str, str],
    said: str,
) -> None:
    with behind(server, profile) as port:
        ground.use_server(port, server.database("refused"))
        ended = ground.run("init")
    ended.expect(errors.EXIT_CONFIG)
    told = " ".join(ended.err.split())
    assert said in told
    assert f"127.0.0.1:{port}" in told
    assert "Traceback" not in told
