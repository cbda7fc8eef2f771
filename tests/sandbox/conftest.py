"""A running sandbox, and a plain client that shares no code with it or with the program."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from polymarket_sandbox import app, options

Row = dict[str, Any]
NORMAL_LENGTH = 66


@dataclass
class Visitor:
    """GET and POST against one sandbox, and walks that trust nothing but `next_cursor`."""

    running: app.RunningSandbox
    session: aiohttp.ClientSession
    special: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **params: Any) -> tuple[int, Any, Any]:
        """Status, JSON (or text), headers."""
        async with self.session.get(self.running.url + path, params=params) as reply:
            is_json = reply.content_type == "application/json"
            return reply.status, await (reply.json() if is_json else reply.text()), reply.headers

    async def ok(self, path: str, **params: Any) -> Any:
        """The JSON of an answer that must be 200."""
        status, answer, _ = await self.get(path, **params)
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: object) -> Any:
        """The JSON of a POST that must be 200."""
        async with self.session.post(self.running.url + path, json=body) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer
            return answer

    async def pages(self, path: str, **params: Any) -> AsyncIterator[list[Row]]:
        """The pages of a Data v2 walk, to its proven end."""
        cursor: str | None = None
        while True:
            extra = {"cursor": cursor} if cursor else {}
            answer = await self.ok(path, **params, **extra)
            yield answer["data"]
            following = answer["pagination"]["next_cursor"]
            assert answer["pagination"]["has_more"] is (following is not None)
            assert following is None or following != cursor
            if following is None:
                return
            cursor = following

    async def walk(self, path: str, **params: Any) -> list[Row]:
        """All rows of a Data v2 walk."""
        return [row async for page in self.pages(path, **params) for row in page]

    async def listed(self, kind: str, **params: Any) -> list[Row]:
        """All rows of a keyset list of Gamma; the end is a page without next_cursor."""
        rows: list[Row] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.ok(f"/gamma/{kind}/keyset", limit=100, **params, **cursor)
            assert set(answer) <= {kind, "next_cursor"}
            rows += answer[kind]
            if "next_cursor" not in answer:
                return rows
            cursor = {"after_cursor": answer["next_cursor"]}

    async def wallet(self, wallet: str, **params: Any) -> list[Row]:
        """Everything of a wallet."""
        asked = {"user": wallet, "start": 1, "limit": 1000, **params}
        return await self.walk("/data/v2/activity", exclude_deposits_withdrawals="false", **asked)

    async def market(self, *conditions: str, **params: Any) -> list[Row]:
        """Both sides of all trades of some conditions."""
        asked = {"condition": ",".join(conditions), "limit": 1000, **params}
        return await self.walk("/data/v2/trades", taker_only="false", **asked)


Open = Callable[..., Awaitable[Visitor]]


@pytest.fixture
async def open_sandbox() -> AsyncIterator[Open]:
    """Start a sandbox with the given options; without latency and limits unless asked."""
    opened: list[Visitor] = []

    async def start(**asked: Any) -> Visitor:
        chosen = {"latency_ms": 0, "limits": "off", **asked}
        running = await app.start(options.SandboxOptions(**chosen))
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        visitor = Visitor(running, session, dict(running.universe.special))
        opened.append(visitor)
        return visitor

    yield start
    for visitor in opened:
        await visitor.session.close()
        await visitor.running.stop()


@pytest.fixture
async def visitor(open_sandbox: Open) -> Visitor:
    """The default universe."""
    return await open_sandbox()


def is_trade(row: Row) -> bool:
    """A fill of a single market, whichever feed the row came from."""
    return row.get("type", "TRADE") == "TRADE" and not row.get("is_combo", False)


def line_of(row: Row) -> str:
    """The line of a row that goes into the digest, as the documents describe it."""
    micro = round(row["size"] * 1_000_000)
    condition = row["condition_id"]
    if len(condition) == NORMAL_LENGTH - 2:
        condition += "00"
    start = [row["transaction_hash"][2:], row["proxy_wallet"][2:]]
    if is_trade(row):
        parts = [*start, row["token_id"], row["side"], micro, row["timestamp"]]
    else:
        parts = [*start, condition[2:], row["token_id"], row["type"], micro, row["timestamp"]]
    return "|".join(map(str, parts))


def digest(rows: Iterable[Row]) -> str:
    """The order-free digest, written from its description."""
    heads = (hashlib.md5(line_of(row).encode(), usedforsecurity=False).digest()[:8] for row in rows)
    return str(sum(int.from_bytes(head, "big") for head in heads) % 2**64)


@pytest.fixture(scope="session", name="digest")
def digest_fixture() -> Callable[[Iterable[Row]], str]:
    return digest


@pytest.fixture(scope="session", name="is_trade")
def is_trade_fixture() -> Callable[[Row], bool]:
    return is_trade
