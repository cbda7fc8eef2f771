"""Recorded rows through the version 2 routes: each real fill once, twins twice, artefacts never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from polymarket_sandbox import app, options, recorded, recorded_ends

from .conftest import Open, Row, Visitor

TWIN_TX = "0xc12bff78413d75398bafabdaa5f69b37065579bc6e30fa43c5bf00e5c25eba9b"
TWIN_WALLET = "0xc2ad03f79ca3f3c17d8c7de2612ce0c89b7d40ed"
BUSY_WALLET = "0xd0d6053c3c37e727402d84c14069780d360993aa"
SHIFTED_WALLET = "0xeebde7a0e019a63e6b476eb425505b7b3e6eba30"

pytestmark = pytest.mark.recorded
Digest = Callable[[Iterable[Row]], str]


@pytest.fixture
async def replayed(open_sandbox: Open, recorded_dir: Path) -> Visitor:
    return await open_sandbox(replay=recorded_dir)


async def test_walks_reach_the_truth(
    replayed: Visitor, digest: Digest, is_trade: Callable[[Row], bool]
) -> None:
    wallets = [row["wallet"] for row in await replayed.ok("/_sandbox/wallets", top=50)]
    rows = [row for wallet in wallets for row in await replayed.wallet(wallet)]
    truth = await replayed.ok("/_sandbox/truth")
    trades = [row for row in rows if is_trade(row)]
    assert (len(trades), digest(trades)) == (truth["trades"]["rows"], truth["trades"]["digest"])
    other = [row for row in rows if not is_trade(row)]
    assert (len(other), digest(other)) == (truth["activity"]["rows"], truth["activity"]["digest"])
    assert len(trades) > 7_000
    conditions = [row["condition_id"] for row in await replayed.ok("/_sandbox/conditions", top=200)]
    by_market = [
        row
        for start in range(0, len(conditions), 20)
        for row in await replayed.market(*conditions[start : start + 20])
    ]
    assert digest(by_market) == truth["trades"]["digest"], "every trade lies in a known market"


async def test_the_twins_are_both_there(replayed: Visitor) -> None:
    rows = await replayed.wallet(TWIN_WALLET)
    twins = [row for row in rows if row["transaction_hash"] == TWIN_TX]
    assert len(twins) == 2
    assert twins[0] == twins[1]
    assert (twins[0]["size"], twins[0]["price"], twins[0]["side"]) == (249.0, 0.97, "BUY")


async def test_rows_repeated_by_offset_paging_are_gone(
    replayed: Visitor, recorded_dir: Path
) -> None:
    path = recorded_dir / "data-v1-activity-polybotanalysis-galindrast.jsonl.gz"
    original = recorded.read(path)
    assert isinstance(original, list)
    kept = recorded.without_page_repeats(original)
    assert (len(original), len(kept)) == (3_500, 3_496)
    rows = await replayed.wallet(SHIFTED_WALLET)
    listed = [row for row in kept if row["type"] != "REDEEM" or row["size"]]
    # One of them is dust: v2 does not list trades under 0.01 share.
    dust = [row for row in listed if row["type"] == "TRADE" and row["size"] < 0.01]
    assert len(rows) == len(listed) - len(dust)
    seen = Counter(tuple(sorted(row.items())) for row in rows)
    assert max(seen.values()) == 1


async def test_rows_have_the_shape_of_version_2(replayed: Visitor) -> None:
    rows = await replayed.wallet(SHIFTED_WALLET)
    assert all(isinstance(row["size"], float) for row in rows)
    assert {"proxy_wallet", "token_id", "usdc_size", "outcome_index"} <= set(rows[0])
    assert not any(name for name in rows[0] if name != name.lower())
    kinds = {row["type"] for row in rows}
    assert kinds == {"TRADE", "MERGE", "REDEEM"}
    assert not [row for row in rows if row["type"] == "REDEEM" and row["size"] == 0]


async def test_recorded_lists_are_served_to_the_end(replayed: Visitor) -> None:
    truth = (await replayed.ok("/_sandbox/truth"))["markets"]
    assert truth["gamma_open"] >= 35_955
    assert truth["gamma_closed"] > 5_500
    answer = await replayed.ok(
        "/gamma/markets/keyset", slug="bitboy-convicted", include_tag="false"
    )
    market = answer["markets"][0]
    assert market["events"][0]["title"] == "BitBoy convicted?"
    closed = await replayed.ok("/gamma/markets/keyset", closed="true", limit=100)
    assert len(closed["markets"]) == 100
    events = await replayed.ok("/gamma/events/keyset", closed="true", limit=100)
    assert any(event["tags"] for event in events["events"])
    page = await replayed.ok("/clob/markets")
    assert page["count"] == 1000
    assert all(len(row["tokens"]) in {0, 2} for row in page["data"])


async def test_ids_of_the_seed_are_looked_up(replayed: Visitor, recorded_dir: Path) -> None:
    seeds = cast(list[Row], recorded.read(recorded_dir / "seed-markets-dim-cascadian.json.gz"))
    for seed in seeds[::400]:
        market = await replayed.ok(f"/gamma/markets/{seed['market_id']}")
        assert market["conditionId"] == seed["condition_id"]
        assert await replayed.ok(f"/gamma/markets/slug/{market['slug']}") == market
    # What the misspelt filter sent to market 12 has nothing to do with it.
    path = recorded_dir / "seed-condition-market-map-sample-cascadian.jsonl"
    wrong = [row["condition_id"] for row in cast(list[Row], recorded.read(path))]
    answer = await replayed.ok("/gamma/markets/12")
    assert answer["conditionId"] not in wrong
    for closed in ("true", "false"):
        found = await replayed.ok(
            "/gamma/markets/keyset", condition_ids=wrong[0], closed=closed, limit=1
        )
        assert found == {"markets": []}


async def test_a_recorded_market_may_close(replayed: Visitor) -> None:
    market = (await replayed.ok("/gamma/markets/keyset", limit=1))["markets"][0]
    rule = {"kind": "market_closes", "route": "gamma", "target": market["conditionId"]}
    await replayed.post("/_sandbox/faults", rule)
    shown = await replayed.ok(f"/gamma/markets/{market['id']}")
    assert (shown["closed"], shown["outcomePrices"]) == (True, '["1", "0"]')


async def profit_of(visitor: Visitor, wallet: str) -> Row:
    async with visitor.session.get(
        visitor.running.url + "/_sandbox/profit", params={"wallet": wallet}
    ) as reply:
        return cast(Row, orjson.loads(await reply.read()))


async def test_recorded_ends_make_the_profit_of_recorded_wallets(replayed: Visitor) -> None:
    """Winners follow from redemptions, their empty ones too, and from recorded positions."""
    for wallet, before, after in (
        (SHIFTED_WALLET, 3_949.90, 3_555.57),
        (BUSY_WALLET, 632.09, 589.31),
    ):
        told = await profit_of(replayed, wallet)
        assert told["held_to_resolution_pnl_usd"] == pytest.approx(before, abs=0.01)
        async with replayed.session.get(
            replayed.running.url + "/_sandbox/profit/markets", params={"wallet": wallet}
        ) as reply:
            parts = [orjson.loads(line) async for line in reply.content]
        fees = sum(part["fees_usd"] for part in parts if part["resolved"])
        assert told["held_to_resolution_pnl_usd"] - fees == pytest.approx(after, abs=0.01)
        resolved = [part["condition_id"] for part in parts if part["resolved"]]
        rows = (await replayed.ok("/data/v2/resolutions", condition=",".join(resolved)))["data"]
        assert {row["condition_id"] for row in rows} == set(resolved)
        assert {tuple(row["payouts"]) for row in rows} == {(1_000_000, 0), (0, 1_000_000)}


async def test_recorded_positions_are_served(replayed: Visitor, recorded_dir: Path) -> None:
    path = recorded_dir / "data-v1-positions-polybotanalysis-galindrast.jsonl"
    original = cast(list[Row], recorded.read(path))
    asked = {"user": SHIFTED_WALLET, "filter_amount": 0, "limit": 50}
    served = await replayed.walk("/data/v2/positions", status="OPEN", **asked)
    sizes = {row["token_id"]: row["current_size"] for row in served}
    assert sizes == {row["asset"]: round(row["size"], 4) for row in original}
    redeemable = [row["token_id"] for row in served if row["redeemable"]]
    assert len(redeemable) == sum(row["redeemable"] for row in original) > 50
    samples = cast(Any, recorded.read(recorded_dir / "data-v2-samples-polyoxide.json"))
    for row in samples["positions"]["data"]:
        mine = await replayed.walk("/data/v2/positions", user=row["proxy_wallet"], filter_amount=0)
        assert row in mine


async def test_recorded_order_book_rows_are_served(replayed: Visitor, recorded_dir: Path) -> None:
    held = cast(Any, recorded.read(recorded_dir / "mixed-fixtures-nautilus.json"))
    for name in ("accepting_false", "accepting_true"):
        row = held[f"clob_market_closed_binary_{name}"]
        assert await replayed.ok(f"/clob/markets/{row['condition_id']}") == row


def v1_row(kind: str, market: int, outcome: int, size: float, **more: object) -> Row:
    row = {"proxyWallet": "0x" + "1" * 40, "conditionId": f"0x{market:064x}", "type": kind}
    row |= {"size": size, "usdcSize": size, "price": 0.5, "timestamp": 1_774_000_000, "side": ""}
    row |= {"asset": "", "outcomeIndex": outcome, "transactionHash": f"0x{market:064x}"}
    return row | more


def test_ends_follow_from_redemptions_and_positions(tmp_path: Path) -> None:
    """Market 1: as much redeemed as held of outcome 1. 2: nothing redeemed, outcome 0 held, so it
    lost. 3: more redeemed than the recording explains. 4: a redeemable position priced at 0.
    5: both outcomes held alike. 6: two rows contradict each other."""
    bought = {"side": "BUY"}
    activity = [
        v1_row("TRADE", 1, 0, 40, **bought, asset="10"),
        v1_row("TRADE", 1, 1, 70, **bought, asset="11"),
        v1_row("MERGE", 1, 999, 30),
        v1_row("REDEEM", 1, 999, 40),
        v1_row("TRADE", 2, 0, 5, **bought, asset="20"),
        v1_row("REDEEM", 2, 999, 0),
        v1_row("TRADE", 3, 0, 5, **bought, asset="30"),
        v1_row("REDEEM", 3, 999, 8),
        v1_row("TRADE", 5, 0, 9, **bought, asset="50"),
        v1_row("TRADE", 5, 1, 9, **bought, asset="51"),
        v1_row("REDEEM", 5, 999, 9),
        v1_row("TRADE", 6, 0, 9, **bought, asset="60"),
        v1_row("REDEEM", 6, 999, 9),
    ]
    held = [
        v1_row("", market, 0, 9, curPrice=0, redeemable=True, asset=f"{market}0")
        for market in (4, 6)
    ]
    (tmp_path / "data-v1-activity-some.json").write_bytes(orjson.dumps(activity))
    (tmp_path / "data-v1-positions-some.json").write_bytes(orjson.dumps(held))
    ends = recorded_ends.payouts(tmp_path)
    assert {int(condition, 16): paid for condition, paid in ends.items()} == {
        1: (0, 1_000_000),
        2: (0, 1_000_000),
        4: (0, 1_000_000),
    }


def test_a_repeat_inside_a_page_is_kept() -> None:
    page = [{"n": number} for number in range(recorded.RECORDED_PAGE)]
    assert recorded.without_page_repeats([*page[:-1], page[-2], {"n": -1}])[-2:] == [
        page[-2],
        {"n": -1},
    ]
    shifted = [*page, page[-2], page[-1], {"n": -2}]
    assert recorded.without_page_repeats(shifted) == [*page, {"n": -2}]


def test_folders_without_recordings_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(options.OptionsError, match="replay folder"):
            app.build(options.SandboxOptions(replay=folder))
