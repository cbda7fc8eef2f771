"""The web page of a run: its files, and the documents that it asks for.

The files hold no fact and are for everybody; what they ask for needs the token. They come from this
package alone, and a text of the API can never become a part of them: the page is sent before any
text is known, and its policy forbids scripts and styles that are not files of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from typing import Any

import orjson
from aiohttp import web

from polybackfill import errors, redaction
from polybackfill.monitoring import event_stream, latest_document, listen_address, web_server

# What the page asks, with its parameters, and what it does, with a JSON object; may block, and
# raise BackfillError or BadParameter.
Question = Callable[[Mapping[str, str]], object]
Action = Callable[[Mapping[str, Any]], object]

_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/subject.js": ("subject.js", "text/javascript"),
    "/elements.js": ("elements.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class BadParameter(Exception):
    """What was asked is no question: a parameter is missing, or has a value that it cannot have."""


class PageServer:
    """Serves the page, `latest` as events, the answers to `questions`, and does `actions`, both by
    path.
    """

    def __init__(
        self,
        latest: latest_document.LatestDocument,
        questions: Mapping[str, Question],
        actions: Mapping[str, Action],
        access: listen_address.Access,
    ) -> None:
        events = event_stream.EventStream(latest)
        self._latest = latest
        routes = [web.get("/events", events.serve, allow_head=False)]
        routes += [web.get("/status.json", self._status)]
        routes += [web.get(path, partial(_send_file, *file)) for path, file in _FILES.items()]
        routes += [web.get(path, partial(_send_answer, one)) for path, one in questions.items()]
        routes += [web.post(path, partial(_act, one)) for path, one in actions.items()]
        self._server = web_server.WebServer(routes, access, public=frozenset(_FILES))

    async def open(self) -> str:
        """Listen; returns the URL. Raises errors.Stop when the address is taken or not ours."""
        return await self._server.open()

    async def close(self) -> None:
        """Let the port go, and cut off who still reads."""
        await self._server.close()

    async def _status(self, _request: web.Request) -> web.Response:
        return web_server.json_response(self._latest.body)


async def _send_file(name: str, content_type: str, _request: web.Request) -> web.Response:
    body = resources.files("polybackfill.monitoring").joinpath("page", name).read_bytes()
    headers = {**web_server.HEADERS, "Content-Security-Policy": _POLICY}
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


async def _send_answer(question: Question, request: web.Request) -> web.Response:
    return await _call(partial(question, request.query))


async def _act(action: Action, request: web.Request) -> web.Response:
    try:
        document = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        return web_server.answer(400, {"error": "no JSON"})
    if not isinstance(document, dict):
        return web_server.answer(400, {"error": "no object of JSON"})
    return await _call(partial(action, document))


async def _call(ask: Callable[[], object]) -> web.Response:
    """Faults of this program are the server's to log and to answer."""
    try:
        document = await asyncio.to_thread(ask)
    except errors.BackfillError as error:
        return web_server.answer(503, {"error": redaction.redact(str(error))})
    except BadParameter:
        return web_server.answer(400, {"error": "no such question"})
    return web_server.json_response(latest_document.encode(document))
