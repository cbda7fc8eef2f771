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
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    feed = conftest.wallets(sandbox, 12)
    rig = new_rig()
    watch = rig.supervise(feed)
    assert await watch.run() == errors.EXIT_OK
    assert watch.state == "finishing"
    assert all(rig.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)
    assert not rig.checkpoint.open_units()


async def test_a_stop_before_the_first_unit_is_a_clean_end(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    rig = new_rig()
    rig.stop.set()
    watch = rig.supervise(conftest.wallets(sandbox, 12))
    assert await watch.run() == errors.EXIT_OK
    assert watch.state == "stopped"


@pytest.mark.parametrize("store", [Away, Hanging])
async def test_a_stop_while_the_store_is_away_ends_within_the_grace(
    store: type[Away],
    new_rig: conftest.NewRig,
    sandbox: harness.Sandbox,
    events: list[structlog.typing.EventDict],
) -> None:
    sink = store()
    rig = new_rig(sink=sink, grace_s=2.0)
    feed = conftest.wallets(sandbox, 6)
    running = asyncio.create_task(rig.supervise(feed).run())
    await sink.asked.wait()
    began_at = time.monotonic()
    rig.stop.set()
    assert await running == errors.EXIT_OK
    assert time.monotonic() - began_at < 2.0
    assert "run.rows_left_behind" in [event["event"] for event in events]
    assert not any(rig.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)


async def test_a_stop_ends_also_when_only_rows_of_failed_units_wait_for_the_store(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    # The first page comes, the second is refused for good: its unit has ended, its rows have not.
    biggest = units.Unit(units.WALLETS, (sandbox.wallets[0].removeprefix("0x"),))
    sandbox.faults({"kind": "500", "match": "cursor="})
    sink = Away()
    rig = new_rig(sink=sink, grace_s=2.0)
    rig.options |= {"max_attempts": 1, "page_attempts": 1}
    watch = rig.supervise([biggest])
    running = asyncio.create_task(watch.run())
    await sink.asked.wait()
    await integration_conftest.until(lambda: rig.line.complete, "the unit in error")
    await asyncio.sleep(2 * worker_pool.CHECK_S)  # the pool ends
    assert not running.done()
    rig.stop.set()
    async with asyncio.timeout(2.0):
        assert await running == errors.EXIT_OK
    assert watch.state == "stopped"


class Refusing(Away):
    """A store that refuses our credentials."""

    async def insert(self, table: str, lines: bytes, *, rows: int) -> None:
        """As writer.Sink."""
        raise errors.Stop("the store refuses user 'default'", exit_code=errors.EXIT_CONFIG)


async def test_a_store_that_refuses_us_ends_the_run_with_its_words_and_code(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    rig = new_rig(sink=Refusing())
    with pytest.raises(errors.Stop, match="refuses user") as caught:
        await rig.supervise(conftest.wallets(sandbox, 6)).run()
    assert caught.value.exit_code == errors.EXIT_CONFIG


async def test_a_refusal_while_draining_is_heard_too(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    sink = Away()

    async def refuse(table: str, lines: bytes, *, rows: int) -> None:
        raise errors.Stop("the disk of the store is full", exit_code=errors.EXIT_UNAVAILABLE)

    rig = new_rig(sink=sink)
    running = asyncio.create_task(rig.supervise(conftest.wallets(sandbox, 6)).run())
    await sink.asked.wait()
    sink.insert = refuse  # type: ignore[method-assign]
    rig.stop.set()
    with pytest.raises(errors.Stop, match="disk of the store is full"):
        await running


async def test_a_duty_that_fails_ends_the_run_loudly_one_that_retries_does_not(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox, events: list[structlog.typing.EventDict]
) -> None:
    tries = 0

    async def away_then_broken() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise errors.Retry("the store is away")
        raise errors.Stop("the plan table is gone")

    rig = new_rig(sink=Away(), sync_plan=away_then_broken)
    with pytest.raises(errors.Stop, match="the plan table is gone"):
        await rig.supervise(conftest.wallets(sandbox, 6)).run()
    assert [event["event"] for event in events].count("duty.retry") == 2


async def test_nothing_moving_ends_the_run_and_names_the_store(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox
) -> None:
    rig = new_rig(sink=Away(), no_progress_s=1.0)
    with pytest.raises(errors.Stop, match="waiting for the store") as caught:
        await rig.supervise(conftest.wallets(sandbox, 6)).run()
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE


def test_of_several_failures_the_one_that_says_what_to_do_is_raised() -> None:
    stop = errors.Stop("make room")
    group = BaseExceptionGroup("pools", [ExceptionGroup("a", [KeyError("x"), stop]), OSError()])
    assert supervisor._cause(group) is stop
    plain = KeyError("x")
    assert supervisor._cause(ExceptionGroup("pools", [plain])) is plain
