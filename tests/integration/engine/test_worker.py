"""One unit: its errors end in the queue, its pace is kept."""

from __future__ import annotations

import time

import msgspec
import pytest
import structlog
from tests import harness, virtual_clock
from tests.integration.engine import conftest

from polybackfill import errors, units, worker_progress
from polybackfill.engine import worker
from polybackfill.polymarket import pagination, time_window


async def test_a_page_our_code_cannot_take_costs_its_unit_alone(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    events: list[structlog.typing.EventDict],
) -> None:
    feed = conftest.wallets(sandbox, 5)
    take = worker.build_page_batch

    def choke(lease: object, page: pagination.Page, end: object, **more: object) -> object:
        if lease.unit == feed[0]:  # type: ignore[attr-defined]
            raise ZeroDivisionError("price of nothing")
        return take(lease, page, end, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "build_page_batch", choke)
    small_run = new_small_run()
    assert await small_run.supervise(feed).run() == errors.EXIT_UNITS_IN_ERROR
    (failed,) = small_run.checkpoint.failed_units()
    assert failed.unit == feed[0]
    assert "price of nothing" in failed.error
    (broken,) = [event for event in events if event["event"] == "unit.broken"]
    assert broken["exc_info"] is True
    assert small_run.line.stats()["done"] == 4


async def test_an_ignored_field_of_the_source_is_named_once(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    sandbox.faults({"kind": "unknown_field", "route": "activity"})
    small_run = new_small_run()
    assert await small_run.supervise(conftest.wallets(sandbox, 5)).run() == errors.EXIT_OK
    assert len(small_run.runner.counts.unknown_fields) == 1
    assert [event["event"] for event in events].count("source.unknown_field") == 1


@pytest.mark.parametrize(("kind", "goes_at_once"), [("recent-trades", True), ("wallets", False)])
async def test_what_is_followed_waits_for_no_other_rows(
    kind: str,
    goes_at_once: bool,
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
) -> None:
    """The next window of a run that follows begins when this one is stored, also while others
    fetch.
    """
    now = int(time.time())
    feed = {
        "wallets": conftest.wallets(sandbox, 1),
        "recent-trades": [units.Unit(kind, (time_window.TimeWindow(now - 60, now).key,))],
    }
    small_run = new_small_run(kind=kind, cut_age_s=60.0)
    small_run.supervise(feed[kind])
    lease = await small_run.line.lease_next("w")
    assert lease is not None
    await small_run.runner.run_unit(lease, worker_progress.Progress(small_run.clock))
    insert = await small_run.buffer.next_insert(within_s=0.05)
    assert insert is not None
    assert bool(insert.pages) is goes_at_once


async def test_units_begin_no_faster_than_the_pace(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    small_run = new_small_run(sleep_s=0.2)
    began_at = time.monotonic()
    assert await small_run.supervise(conftest.wallets(sandbox, 6)).run() == errors.EXIT_OK
    assert time.monotonic() - began_at >= 5 * 0.2


def test_a_pause_does_not_save_up_turns() -> None:
    virtual_clock.run_virtual(_take_turns_around_a_pause())


async def _take_turns_around_a_pause() -> None:
    clock = virtual_clock.LoopClock()
    pacer, progress = worker.Pacer(5.0, clock), worker_progress.Progress(clock)
    await pacer.wait(progress)
    await clock.sleep(60)
    paused_at = clock.monotonic()
    await pacer.wait(progress)
    assert clock.monotonic() == paused_at
    await pacer.wait(progress)
    assert clock.monotonic() - paused_at == pytest.approx(5.0, abs=1e-3)


async def test_a_walk_that_began_anew_counts_its_rows_once(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    biggest = units.Unit(units.WALLETS, (sandbox.wallets[0].removeprefix("0x"),))
    counts = []
    for name in ("undisturbed", "refused"):
        small_run = new_small_run(name, cut_rows=1)
        assert await small_run.supervise([biggest]).run() == errors.EXIT_OK
        (receipt,) = small_run.checkpoint.receipts()
        counts.append(receipt.counts)
        sandbox.faults({"kind": "cursor_refused", "route": "activity", "count": 4})
    assert counts[0].pages == 2
    # Begun anew it is read in pages of 900, 2,000 rows in three of them.
    assert counts[1] == msgspec.structs.replace(counts[0], pages=3)


@pytest.mark.parametrize(
    "trips",
    [1, 2, pytest.param(4, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long)],
)
async def test_cursors_that_trip_the_edge_at_every_size_have_an_end(
    trips: int,
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each size's first cursor trips for ever; what is read again between is nothing gained."""
    biggest = units.Unit(units.WALLETS, (sandbox.wallets[0].removeprefix("0x"),))
    sandbox.faults({"kind": "cursor_trips", "route": "activity", "count": trips})
    monkeypatch.setattr(worker, "_AGAIN_S", 0.1)
    small_run = new_small_run(cut_rows=1)
    small_run.options |= {"max_attempts": 2}
    code = await small_run.supervise([biggest]).run()
    asked = sandbox.asked()["activity"]
    if trips < 5:
        assert code == errors.EXIT_OK
        assert asked < 20
        (receipt,) = small_run.checkpoint.receipts()
        assert receipt.counts.rows == 2_000
    else:
        assert code == errors.EXIT_UNITS_IN_ERROR
        assert "403" in small_run.checkpoint.failed_units()[0].error
        assert asked < 45
