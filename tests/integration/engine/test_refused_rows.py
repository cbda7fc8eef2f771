"""A row the store refuses goes to quarantine alone; the rows beside it are stored."""

from __future__ import annotations

import random
from pathlib import Path

from polybackfill import clocks, records, units
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import store_writer, unit_queue
from polybackfill.kinds import conditions
from polybackfill.polymarket import pagination
from polybackfill.store import client, migrate


def _trade(number: int) -> records.Trade:
    return records.Trade(
        source=records.SOURCE,
        external_trade_id=f"{number:032x}",
        wallet_address="ab" * 20,
        condition_id="cd" * 32,
        market_question="q",
        side="BUY",
        outcome_index=0,
        outcome="Yes",
        token_id="1",
        market_id="",
        shares=1.0,
        price=0.5,
        cash_value=0.5,
        usdc_size=None,
        fees=0.0,
        trade_timestamp=1_700_000_000 + number,
        tx_hash="ef" * 32,
        source_route="/v2/trades",
        fetched_at=1_700_000_000,
    )


async def test_one_row_the_store_refuses_costs_nothing_but_itself(tmp_path: Path) -> None:
    clock = clocks.SystemClock()
    store = await client.open(client.Address(data_dir=tmp_path / "store"), clock=clock)
    try:
        await migrate.up(store)
        book = run_checkpoint.Checkpoint.open(tmp_path / "checkpoint")
        unit = units.Unit("wallets", ("ab" * 20,))
        wallets = unit_queue.Queue("wallets", feed=[unit], checkpoint=book, clock=clock)
        lease = await wallets.lease_next("w")
        assert lease is not None
        good = [records.encode_lines([_trade(number)]) for number in range(7)]
        bad = good[3].replace(b'"shares":1.0', b'"shares":"a lot"')
        lines = b"".join([*good[:3], bad, *good[4:]])
        buffer = store_writer.WriteBuffer(
            cut_rows=7, cut_bytes=10**6, cut_age_s=1, buffer_bytes=10**6, clock=clock
        )
        writer = store_writer.StoreWriter(
            buffer=buffer,
            sink=store,
            checkpoint=book,
            queues_by_kind={"wallets": wallets},
            clock=clock,
            rng=random.Random(1),
        )
        page = store_writer.PageBatch(
            lease,
            {conditions.TRADES.inserted: lines},
            {conditions.TRADES.inserted: 7},
            pagination.Resume(ended=True),
            True,
        )
        await buffer.add(page, writer.progress)
        await buffer.close()
        await writer.run()
        stored = await store.rows("SELECT count() AS n FROM external_trades_raw")
        aside = await store.rows("SELECT reason, raw FROM quarantine")
        assert stored == [{"n": 6}]
        assert len(aside) == 1
        assert aside[0]["raw"] == bad.decode()
        assert aside[0]["reason"].startswith("refused by the store")
        assert book.is_done("wallets", "ab" * 20)
        await wallets.close()
        book.close()
    finally:
        await store.close()
