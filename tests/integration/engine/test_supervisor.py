"""A run ends: done, stopped, or loudly; never by hanging, never by silence."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog
from tests import harness
from tests.integration import conftest as integration_conftest
from tests.integration.engine import conftest

from polybackfill import errors, units
from polybackfill.engine import supervisor, worker_pool


class Away:
    """A store that answers only once it is let in."""

    def __init__(self) -> None:
        self.back = asyncio.Event()
        self.asked = asyncio.Event()
        self.rows = 0

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """As writer.Sink."""
        self.asked.set()
        if not self.back.is_set():
            raise errors.Retry(f"no connection for {table}", after_s=0.05)
        self.rows += rows


class Hanging(Away):
    """A store that takes the rows and never says so."""

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """As writer.Sink."""
        self.asked.set()
        await self.back.wait()


async def test_everything_asked_ends_done(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    feed = conftest.wallets(sandbox, 12)
    small_run = new_small_run()
    watch = small_run.supervise(feed)
    assert await watch.run() == errors.EXIT_OK
    assert watch.state == "finishing"
    assert all(small_run.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)
    assert not small_run.checkpoint.open_units()


class SlowTables:
    """Plan tables that are slow once the last unit has ended. `told`: how often they were told."""

    def __init__(self, took_s: float) -> None:
        self._took_s = took_s
        self._runs: list[conftest.SmallRun] = []
        self.asked = asyncio.Event()
        self.told = 0

    def of(self, small_run: conftest.SmallRun) -> None:
        """Whose units they wait for."""
        self._runs.append(small_run)

    async def sync(self) -> None:
        """As PlanSync.run."""
        if any(one.line.complete for one in self._runs):
            self.asked.set()
            await asyncio.sleep(self._took_s)
            self.told += 1


async def test_a_run_that_has_ended_leaves_no_plan_behind(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    """The short time of a stop is none of its own."""
    tables = SlowTables(1.0)
    small_run = new_small_run(sync_plan=tables.sync, grace_s=2.0)
    tables.of(small_run)
    assert await small_run.supervise(conftest.wallets(sandbox, 12)).run() == errors.EXIT_OK
    assert tables.told > 0
    assert "plan.not_synced" not in [event["event"] for event in events]


async def test_a_stop_meanwhile_does_not_wait_for_the_plan(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    tables = SlowTables(60.0)
    small_run = new_small_run(sync_plan=tables.sync, grace_s=2.0)
    tables.of(small_run)
    running = asyncio.create_task(small_run.supervise(conftest.wallets(sandbox, 12)).run())
    await tables.asked.wait()
    await asyncio.sleep(2 * worker_pool.CHECK_S)
    assert not running.done()
    small_run.stop.set()
    async with asyncio.timeout(2.0):
        await running
    assert "plan.not_synced" in [event["event"] for event in events]


async def test_a_stop_before_the_first_unit_is_a_clean_end(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    small_run = new_small_run()
    small_run.stop.set()
    watch = small_run.supervise(conftest.wallets(sandbox, 12))
    assert await watch.run() == errors.EXIT_OK
    assert watch.state == "stopped"


@pytest.mark.parametrize("store", [Away, Hanging])
async def test_a_stop_while_the_store_is_away_ends_within_the_grace(
    store: type[Away],
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    sink = store()
    small_run = new_small_run(sink=sink, grace_s=2.0)
    feed = conftest.wallets(sandbox, 6)
    running = asyncio.create_task(small_run.supervise(feed).run())
    await sink.asked.wait()
    began_at = time.monotonic()
    small_run.stop.set()
    assert await running == errors.EXIT_OK
    assert time.monotonic() - began_at < 2.0
    assert "run.rows_left_behind" in [event["event"] for event in events]
    assert not any(small_run.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)


async def test_a_stop_ends_also_when_only_rows_of_failed_units_wait_for_the_store(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    # The first page comes, the second is refused for good: its unit has ended, its rows have not.
    biggest = units.Unit(units.WALLETS, (sandbox.wallets[0].removeprefix("0x"),))
    sandbox.faults({"kind": "500", "match": "cursor="})
    sink = Away()
    small_run = new_small_run(sink=sink, grace_s=2.0)
    small_run.options |= {"max_attempts": 1, "page_attempts": 1}
    watch = small_run.supervise([biggest])
    running = asyncio.create_task(watch.run())
    await sink.asked.wait()
    await integration_conftest.until(lambda: small_run.line.complete, "the unit in error")
    await asyncio.sleep(2 * worker_pool.CHECK_S)  # the pool ends
    assert not running.done()
    small_run.stop.set()
    async with asyncio.timeout(2.0):
        assert await running == errors.EXIT_OK
    assert watch.state == "stopped"


class Refusing(Away):
    """A store that refuses our credentials."""

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """As writer.Sink."""
        raise errors.Stop("the store refuses user 'default'", exit_code=errors.EXIT_CONFIG)


async def test_a_store_that_refuses_us_ends_the_run_with_its_words_and_code(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    small_run = new_small_run(sink=Refusing())
    with pytest.raises(errors.Stop, match="refuses user") as caught:
        await small_run.supervise(conftest.wallets(sandbox, 6)).run()
    assert caught.value.exit_code == errors.EXIT_CONFIG


async def test_a_refusal_while_draining_is_heard_too(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    sink = Away()

    async def refuse(table: str, lines: bytes, *, rows: int) -> None:
        raise errors.Stop("the disk of the store is full", exit_code=errors.EXIT_UNAVAILABLE)

    small_run = new_small_run(sink=sink)
    running = asyncio.create_task(small_run.supervise(conftest.wallets(sandbox, 6)).run())
    await sink.asked.wait()
    sink.insert = refuse  # type: ignore[method-assign]
    small_run.stop.set()
    with pytest.raises(errors.Stop, match="disk of the store is full"):
        await running


async def test_a_duty_that_fails_ends_the_run_loudly_one_that_retries_does_not(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    tries = 0

    async def away_then_broken() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise errors.Retry("the store is away")
        raise errors.Stop("the plan table is gone")

    small_run = new_small_run(sink=Away(), sync_plan=away_then_broken)
    with pytest.raises(errors.Stop, match="the plan table is gone"):
        await small_run.supervise(conftest.wallets(sandbox, 6)).run()
    assert [event["event"] for event in events].count("duty.retry") == 2


async def test_nothing_moving_ends_the_run_and_names_the_store(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    small_run = new_small_run(sink=Away(), no_progress_s=1.0)
    with pytest.raises(errors.Stop, match="waiting for the store") as caught:
        await small_run.supervise(conftest.wallets(sandbox, 6)).run()
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE


def test_of_several_failures_the_one_that_says_what_to_do_is_raised() -> None:
    stop = errors.Stop("make room")
    group = BaseExceptionGroup("pools", [ExceptionGroup("a", [KeyError("x"), stop]), OSError()])
    assert supervisor._cause(group) is stop
    plain = KeyError("x")
    assert supervisor._cause(ExceptionGroup("pools", [plain])) is plain
