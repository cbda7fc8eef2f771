"""The sandbox as a process, and its own routes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from .conftest import Visitor

SERVE = (
    "from polymarket_sandbox import app, options\n"
    "app.serve(options.SandboxOptions(latency_ms=0, trades=6_000))\n"
)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True) as one:
        yield one
        one.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_url_serves_and_ends_on_a_signal(
    process: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.split()[-1]
    assert line == f"sandbox ready at {url}\n"
    with urllib.request.urlopen(f"{url}/data/ok", timeout=10) as reply:  # noqa: S310
        assert json.load(reply) == {"data": "OK"}
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    assert process.stdout.read() == ""


async def test_rankings_flag_contracts_and_agree_with_walks(visitor: Visitor) -> None:
    ranked = await visitor.ok("/_sandbox/wallets", top=10, by="rows")
    assert [row["rows"] for row in ranked] == sorted((r["rows"] for r in ranked), reverse=True)
    assert ranked[0]["wallet"] == visitor.special["wallet_big"]
    walked = await visitor.wallet(ranked[0]["wallet"])
    assert len(walked) == ranked[0]["all_rows"]
    everyone = await visitor.ok("/_sandbox/wallets", top=1_000)
    assert sum(row["contract"] for row in everyone) == 2
    notionals = [row["notional"] for row in everyone]
    assert notionals == sorted(notionals, reverse=True)
    markets = await visitor.ok("/_sandbox/conditions", top=5, by="rows")
    assert len(await visitor.market(markets[0]["condition_id"])) == markets[0]["rows"]


async def test_truth_takes_any_spelling_and_knows_no_strangers(visitor: Visitor) -> None:
    wallet, condition = visitor.special["wallet_old"], visitor.special["market_v2_binary"]
    asked = {"wallets": [wallet], "conditions": [condition]}
    plain = await visitor.post("/_sandbox/truth", asked)
    spelled = {
        "wallets": [wallet[2:].upper(), "0x" + "12" * 20, visitor.special["contract_ctf_exchange"]],
        "conditions": [condition[:64], "ab" * 32],
    }
    assert await visitor.post("/_sandbox/truth", spelled) == plain
    nothing = await visitor.post("/_sandbox/truth", {"wallets": [], "conditions": []})
    assert nothing["trades"] == {
        "rows": 0,
        "digest": "0",
        "identical_extra": 0,
        "wallets": 0,
        "conditions": 0,
    }
    url = f"{visitor.running.url}/_sandbox/truth"
    for wrong in (b"{", b'{"wallets": 3}', b"[]"):
        async with visitor.session.post(url, data=wrong) as reply:
            assert reply.status == 400


async def test_the_universe_describes_itself(visitor: Visitor) -> None:
    shown = await visitor.ok("/_sandbox/universe")
    assert shown["special"] == visitor.special
    assert shown["trades"] == (await visitor.ok("/_sandbox/truth"))["trades"]["rows"]
    assert shown["now"] >= visitor.running.universe.now


async def test_stats_tell_how_long_the_sandbox_itself_was_held_up(visitor: Visitor) -> None:
    await visitor.post("/_sandbox/stats/reset", {})
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251  (this is the stall)
    await asyncio.sleep(0.05)
    held_up_ms = (await visitor.ok("/_sandbox/stats"))["held_up_ms"]
    assert 250 <= held_up_ms < 2_000
    await visitor.post("/_sandbox/stats/reset", {})
    assert (await visitor.ok("/_sandbox/stats"))["held_up_ms"] < held_up_ms


async def test_stats_count_connections_and_requests_in_flight(visitor: Visitor) -> None:
    for _ in range(3):
        await visitor.ok("/data/v2/trades", limit=1)
    await visitor.get("/data/nowhere")
    stats = await visitor.ok("/_sandbox/stats")
    assert stats["routes"]["trades"]["requests"] == 3
    assert stats["routes"]["unknown"]["statuses"] == {"404": 1}
    assert stats["connections"] == 1
    assert (stats["in_flight"], stats["most_in_flight"]) == (0, 1)
    assert stats["budgets"]["trades"]["requests"] == 3
    assert stats["budgets"]["trades"]["limit"] is None
