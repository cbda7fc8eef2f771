"""One request with a total deadline: a response, or one of the error classes.

The token is taken before the request, the deadline covers everything after it: connecting,
waiting, and a body that drips for ever. Nothing is asked twice behind the caller's back
(`http_session`), and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import yarl

from polybackfill import clocks, errors, redaction, worker_progress
from polybackfill.polymarket import (
    bodies,
    endpoints,
    http_outcome,
    http_session,
    proxies,
    rate_limiter,
    route_answers,
    route_health,
)

BODY_LIMIT_BYTES = 64 << 20

# What callers of this module receive.
Response = http_outcome.Response


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
    ) -> None:
        self._bases = {host: _Base(url) for host, url in base_urls.items()}
        self._limits = limits
        self._clock = clock
        self._deadline_s = deadline_s
        self._refusal_pause_s = refusal_pause_s
        self._body_limit_bytes = body_limit_bytes
        self._sessions = http_session.SessionPool(clock, pool_size=pool_size, life_s=session_life_s)
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
            if control.passes(result):
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
        result = http_outcome.translate(
            outcome, shown, now=self._clock.now(), refusal_pause_s=self._refusal_pause_s
        )
        self.answers.count_outcome(route, result)
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
