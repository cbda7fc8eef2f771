"""One request with a total deadline: a response, or one of the error classes.

The token is taken before the request, the deadline covers everything after it: connecting,
waiting, and a body that drips for ever. Nothing is asked twice behind the caller's back
(`http_session`), and redirects are not followed.

`translate` is the only place that looks at a status code. Sources: docs.polymarket.com (errors of
the Data API v2: `error`, `code`, `parameter`, `retryable`, `trace_id`; Retry-After on 429 and 503),
Cloudflare's pages in front of it (HTML bodies, 520-524), both as read in October 2026.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email.utils
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import orjson
import yarl

from polybackfill import clocks, errors, redaction, worker_progress
from polybackfill.polymarket import (
    bodies,
    endpoints,
    http_session,
    proxies,
    rate_limiter,
    route_answers,
    route_health,
)

BODY_LIMIT_BYTES = 64 << 20
LONGEST_RETRY_AFTER_S = 600.0
LONGEST_TEXT = 300
FORBIDDEN, TOO_MANY, UNAVAILABLE = 403, 429, 503
LATER = (408, 425, TOO_MANY)  # besides all of 5xx
TIMED_OUT = (408, 504, 522, 524)  # 522, 524: Cloudflare waited for the origin in vain
GEO_BLOCKED = (451, 453)  # 453: Polymarket's own "restricted region"
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Response:
    """One whole answer. `ttfb_s`: seconds until its head; `url`: with the query."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    ttfb_s: float
    url: str

    @property
    def is_page(self) -> bool:
        """A web page where JSON was asked for: the edge answered, not the API."""
        kind = self.headers.get("Content-Type", "")
        return "html" in kind.lower() or self.body[:64].lstrip()[:1] == b"<"

    @property
    def server_time(self) -> float | None:
        """What time it is by the server, epoch seconds; None where it does not say, or where a
        cache has kept the answer.
        """
        if self.headers.get("Age", "0").strip() != "0":
            return None
        server_time = _date(self.headers.get("Date", ""))
        return None if server_time is None else server_time.timestamp()


# One request outside of a walk: a route and its parameters, to an answer or an error class.
Get = Callable[[endpoints.Route, Sequence[tuple[str, str]]], Awaitable[Response]]


class _Base:
    """Where a host is. `shown`: the same without its secrets."""

    def __init__(self, given: str | redaction.Url) -> None:
        known = given if isinstance(given, redaction.Url) else redaction.Url(given.rstrip("/"))
        self.url = yarl.URL(known.secret)
        proxy = proxies.find_proxy(known)
        self.proxy = None if proxy is None else yarl.URL(proxy.secret)
        self.shown = yarl.URL(str(known))


class Client:
    """Asks the hosts of `base_urls` (host name of a route → base URL), inside `limits`.

    `refusal_pause_s`: pause of a host that refuses with a web page and no Retry-After.
    `controls`: questions that always work; a refusal by such a route counts only while they do.
    `pool_size` must exceed the requests in flight, or they would wait inside their deadline.
    `hear_time` is told what time it is by the servers that answer, in epoch seconds.
    `source_address`: of this machine, from which to ask; None for any.
    `answers`: which routes answer. `bodies`: the bytes of what they answered.
    """

    def __init__(
        self,
        *,
        base_urls: Mapping[str, str | redaction.Url],
        limits: rate_limiter.RateLimiter,
        clock: clocks.Clock,
        deadline_s: float = 60.0,
        refusal_pause_s: float = 90.0,
        pool_size: int = 512,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        bodies_limit_bytes: int = bodies.MOST_BYTES,
        session_life_s: float = http_session.SESSION_LIFE_S,
        controls: Mapping[endpoints.Route, route_health.Control] | None = None,
        hear_time: Callable[[float], None] | None = None,
        source_address: str | None = None,
    ) -> None:
        self._bases = {host: _Base(url) for host, url in base_urls.items()}
        self._limits = limits
        self._clock = clock
        self._deadline_s = deadline_s
        self._refusal_pause_s = refusal_pause_s
        self._body_limit_bytes = body_limit_bytes
        self._sessions = http_session.SessionPool(
            clock, pool_size=pool_size, life_s=session_life_s, source_address=source_address
        )
        self.bodies = bodies.Bodies(clock, bodies_limit_bytes)
        self._health = route_health.RouteHealthTable(controls or {})
        self._hear_time = hear_time
        self.answers = route_answers.RouteAnswers(clock)

    async def get(
        self,
        route: endpoints.Route,
        params: Mapping[str, str] | Sequence[tuple[str, str]],
        progress: worker_progress.Progress,
    ) -> Response:
        """One answer, asked for when the limits allow it.

        A refusal is asked for twice, with the route's control in between. Raises `Retry` (with
        `host_fault` when the control is refused too), `GiveUp` (with the status) or `Stop` (region
        blocked), nothing else.
        """
        health = self._health.find(route)
        if health is not None and health.trouble_at is not None:
            await self._prove(health, health.trouble_at, progress)
        result = await self._request(route, params, progress, final=health is None)
        if health is not None and isinstance(result, errors.GiveUp):
            await self._prove(health, self._clock.monotonic(), progress, result)
            result = await self._request(route, params, progress)
        if not isinstance(result, Response):
            raise result
        if health is not None and route.leaf:
            health.leaf = (route, _pairs(params))
        return result

    async def prove(self, route: endpoints.Route, progress: worker_progress.Progress) -> None:
        """Ask what any healthy host answers. Raises Retry (`host_fault`) when it does not."""
        if (health := self._health.find(route)) is not None:
            await self._prove(health, self._clock.monotonic(), progress)

    async def _prove(
        self,
        health: route_health.RouteHealth,
        since: float,
        progress: worker_progress.Progress,
        refusal: errors.GiveUp | None = None,
    ) -> None:
        """The host answered the place's control after `since`, or does so now; one asks for all."""
        async with contextlib.AsyncExitStack() as stack:
            with progress.waiting(f"{health.route.host} to answer again"):
                await stack.enter_async_context(health.asking)
            if health.proven_at > since:
                return
            route, control = health.question()
            fresh = (("_", str(int(self._clock.now() * 1000))),)  # past what the edge remembers
            result = await self._request(route, (*control.params, *fresh), progress, final=False)
            now = self._clock.monotonic()
            if isinstance(result, Response) and control.passes(result.body):
                health.passed(now)
                return
            if isinstance(result, errors.Stop):
                raise result
            health.leaf = None  # it may have gone; what is asked next never goes
            pause_s = health.failed(now, self._refusal_pause_s)
            self._limits.pause(route.host, pause_s)
            trouble = errors.Retry(
                f"{refusal or result}; {route.name} refused a request that is known to be valid, "
                "so the host is at fault",
                after_s=pause_s,
                host_fault=True,
            )
            self.answers.note_failure(route)
            self.answers.log_failure(route, trouble)
            raise trouble

    async def _request(
        self,
        route: endpoints.Route,
        params: Mapping[str, str] | Sequence[tuple[str, str]],
        progress: worker_progress.Progress,
        *,
        final: bool = True,
    ) -> Response | errors.BackfillError:
        """One request. `final`: a refusal is an answer of the host."""
        base, pairs = self._base(route), _pairs(params)
        shown = str(_at(base.shown, route, pairs))
        permit = await self._limits.acquire(route, progress)
        outcome: Response | Exception
        try:
            url = _at(base.url, route, pairs)
            outcome = await self._exchange(url, base.proxy, shown, permit)
        except (aiohttp.ClientError, OSError, _TooLong) as error:
            outcome = error
            permit.release(given_up=isinstance(error, TimeoutError))
        except asyncio.CancelledError:
            permit.release(given_up=True)
            self.answers.note_failure(route)  # given up without an answer, by a stall or at the end
            raise
        finally:
            permit.release()
        result = translate(
            outcome, shown, now=self._clock.now(), refusal_pause_s=self._refusal_pause_s
        )
        self.answers.count_outcome(route, None if isinstance(result, Response) else result)
        if final or not isinstance(result, errors.GiveUp):
            self._note(route, result)
        server_time = result.server_time if isinstance(result, Response) else None
        if self._hear_time is not None and server_time is not None:
            self._hear_time(server_time)
        return result

    async def close(self) -> None:
        """Close all connections; requests under way end with `Retry`."""
        await self._sessions.close()

    def _base(self, route: endpoints.Route) -> _Base:
        base = self._bases.get(route.host)
        if base is None:
            raise errors.Stop(f"no base URL for the host {route.host!r} of {route.name}")
        return base

    async def _exchange(
        self, url: yarl.URL, proxy: yarl.URL | None, shown: str, permit: rate_limiter.Permit
    ) -> Response:
        asked_at = self._clock.monotonic()
        async with (
            asyncio.timeout(self._deadline_s),
            self._sessions.session() as session,
            session.get(
                url, proxy=proxy, allow_redirects=False, trace_request_ctx=permit
            ) as response,
        ):
            permit.answered(response.status)
            ttfb_s = self._clock.monotonic() - asked_at
            return await self._read_response(response, ttfb_s, shown)

    async def _read_response(
        self, response: aiohttp.ClientResponse, ttfb_s: float, shown: str
    ) -> Response:
        """The answer with its body, which arrives as fast as there is room for all of them.

        aiohttp unpacks a compressed one piece by piece, so what is counted here is what it is when
        unpacked, a bomb included.
        """
        body = self.bodies.begin()
        try:
            content = await self._read_body(response, body)
        except BaseException:
            body.drop()
            raise
        received = Response(response.status, content, response.headers, ttfb_s, shown)
        body.keep_for(received)
        return received

    async def _read_body(self, response: aiohttp.ClientResponse, body: bodies.Body) -> bytes:
        parts: list[bytes] = []
        while part := await response.content.readany():
            await body.add(len(part))
            parts.append(part)
            if body.size > self._body_limit_bytes:
                raise _TooLong(f"the body is longer than {self._body_limit_bytes} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _note(self, route: endpoints.Route, result: Response | errors.BackfillError) -> None:
        """Remember who answers, and pause the host for everybody when the answer asks for it."""
        if isinstance(result, Response | errors.GiveUp):
            self.answers.note_answer(route)
        else:
            self.answers.note_failure(route)
            self.answers.log_failure(route, result)
        if isinstance(result, errors.Retry) and result.pause_host_s is not None:
            self._limits.pause(route.host, result.pause_host_s)


def _at(base: yarl.URL, route: endpoints.Route, params: tuple[tuple[str, str], ...]) -> yarl.URL:
    """A question; a query of the base, say a key, stays before it."""
    url = base.joinpath(route.address.lstrip("/"))
    return url.with_query([*base.query.items(), *params])


def _pairs(
    params: Mapping[str, str] | Sequence[tuple[str, str]],
) -> tuple[tuple[str, str], ...]:
    return tuple(params.items() if isinstance(params, Mapping) else params)


class _TooLong(Exception):
    """A body beyond the cap."""


def translate(
    outcome: Response | Exception, url: str, *, now: float, refusal_pause_s: float
) -> Response | errors.BackfillError:
    """The answer if it is worth reading, else the error to raise.

    `now`: seconds since the epoch, for a Retry-After that is a date. `refusal_pause_s`: how long a
    host pauses that refuses with a web page and no Retry-After.
    """
    if isinstance(outcome, Exception):
        text = str(outcome) or "no answer in time"
        return errors.Retry(
            f"GET {url}: {type(outcome).__name__}: {_short(text)}",
            timed_out=isinstance(outcome, TimeoutError),
        )
    status = outcome.status
    if status == 200 and outcome.body and not outcome.is_page:
        return outcome
    message = f"GET {url} answered {status}: {_text(outcome)}"
    if status in GEO_BLOCKED:
        where = "This network's region may not ask this service; run the program elsewhere"
        return errors.Stop(f"{message}. {where}", exit_code=errors.EXIT_UNAVAILABLE)
    if status == FORBIDDEN and outcome.is_page:
        return errors.Retry(message, pause_host_s=refusal_pause_s, split=True)
    if status in LATER or 200 <= status < 300 or status >= 500:
        after_s = retry_after_s(outcome, now)
        pause_s = after_s if status in (TOO_MANY, UNAVAILABLE) else None
        if status == TOO_MANY and after_s is None and outcome.is_page:
            pause_s = refusal_pause_s
        return errors.Retry(
            message, after_s=after_s, pause_host_s=pause_s, timed_out=status in TIMED_OUT
        )
    return errors.GiveUp(message, status=status)


def retry_after_s(response: Response, now: float) -> float | None:
    """Seconds the server asked for: header (seconds or date) or body; None when it said nothing."""
    wait_s = _header_seconds(response, now)
    if wait_s is None:
        wait = _fields(response).get("retry_after_seconds")
        wait_s = float(wait) if isinstance(wait, int | float) else None
    return None if wait_s is None else min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _header_seconds(response: Response, now: float) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    with contextlib.suppress(ValueError):  # then it is a date
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    until = _date(value)
    if until is None:
        return None
    # Against the server's own clock where it tells it: ours may be wrong.
    server_time = _date(response.headers.get("Date", ""))
    return until.timestamp() - (now if server_time is None else server_time.timestamp())


def _date(value: str) -> datetime.datetime | None:
    try:
        parsed = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=datetime.UTC)


def _fields(response: Response) -> dict[str, object]:
    try:
        fields = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _text(response: Response) -> str:
    """What the answer says about itself, on one short line."""
    if response.is_page:
        title = _TITLE.search(response.body[:4096])
        return "a web page: " + _short(title[1] if title else response.body[:LONGEST_TEXT])
    if response.status == 200:
        return "an empty body"
    fields = _fields(response)
    parts = [str(fields[name]) for name in ("error", "message", "type") if fields.get(name)][:1]
    parts += [f"{name} {fields[name]}" for name in ("parameter", "trace_id") if fields.get(name)]
    return _short(", ".join(parts) or response.body[:LONGEST_TEXT] or "an empty body")


def _short(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    line = redaction.redact(" ".join(text.split()))  # errors repeat what was asked
    return line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
