"""A universe that grows while a client reads it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from polymarket_sandbox import growth, options, universe_builder

from .conftest import Open

GROW_S = 4.0


def sizes(truth: dict[str, Any]) -> dict[str, int]:
    """How much there is of what grows."""
    return {
        "trades": truth["trades"]["rows"],
        "activity": truth["activity"]["rows"],
        "markets": truth["markets"]["count"],
        "events": truth["events"]["count"],
        "resolutions": truth["resolutions"]["count"],
    }


async def test_it_ends_as_the_universe_that_did_not_grow(open_sandbox: Open) -> None:
    """All that is added comes by itself, and feeds, lists and truth say the same meanwhile."""
    visitor = await open_sandbox(grow_s=GROW_S, grow_on_request=True, late_rows=20, late_after_s=3)
    whole = await (await open_sandbox()).ok("/_sandbox/truth")
    first = sizes(await visitor.ok("/_sandbox/truth"))
    assert all(first[name] < sizes(whole)[name] for name in first), (first, sizes(whole))
    await visitor.post("/_sandbox/grow", {})
    seen = [first]
    while seen[-1] != sizes(whole):
        rows = await visitor.walk("/data/v2/trades", taker_only="false", limit=1000)
        assert len(rows) >= len({row["transaction_hash"] for row in rows})
        seen.append(sizes(await visitor.ok("/_sandbox/truth")))
        assert all(seen[-1][name] >= seen[-2][name] for name in first)
        assert len(seen) < 200
        await asyncio.sleep(0.2)
    assert len({size["trades"] for size in seen}) > 3
    lines = [await visitor.ok("/_sandbox/truth"), whole]
    for name in ("markets", "events", "resolutions"):
        assert lines[0][name]["digest"] == lines[1][name]["digest"]
    open_markets = await visitor.ok("/gamma/markets/keyset", closed="false", limit=100)
    assert len(open_markets["markets"]) == whole["markets"]["gamma_open"] - 1, "v2 has one"


def test_rows_keep_their_order_and_come_all_the_time() -> None:
    """Some are late, which the status route does not say."""
    chosen = options.SandboxOptions(
        markets=60, wallets=60, trades=8_000, grow_s=100, late_rows=30, late_after_s=40
    )
    world = universe_builder.build(chosen)
    table, now = world.table, world.now
    assert (table.ts[1:] >= table.ts[:-1]).all()
    assert (table.seq[1:] > table.seq[:-1]).all()
    later = table.ts[table.ts > now]
    assert len(later) > len(table) / 20
    assert later.max() <= now + 100
    by_quarter = [int(((later - now - 1) // 25 == quarter).sum()) for quarter in range(4)]
    assert min(by_quarter) > max(by_quarter) / 10, by_quarter
    waits = table.arrives - table.ts
    late = growth.SHOWN_AFTER_S + 40
    assert sorted(set(waits.tolist())) == [0, growth.SHOWN_AFTER_S, late]
    assert int((waits > growth.SHOWN_AFTER_S).sum()) == 30
    assert (growth.delay(world, 50).table.ts - table.ts == np.where(table.ts > now, 50, 0)).all()
    before = growth.present(world, now)
    assert not (before.table.ts > now).any()
    assert any(market.created > now for market in world.lists.markets)
    assert all(market.created <= now for market in before.lists.markets)


async def test_it_waits_to_be_asked(open_sandbox: Open) -> None:
    visitor = await open_sandbox(grow_s=1.0, grow_on_request=True)
    first = sizes(await visitor.ok("/_sandbox/truth"))
    await asyncio.sleep(1.5)
    assert sizes(await visitor.ok("/_sandbox/truth")) == first
    await visitor.post("/_sandbox/grow", {})
    for _ in range(100):
        if sizes(await visitor.ok("/_sandbox/truth"))["trades"] > first["trades"]:
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError("it does not grow")
    still = await open_sandbox()
    async with still.session.post(still.running.url + "/_sandbox/grow", json={}) as reply:
        assert reply.status == 400
