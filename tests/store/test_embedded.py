"""The child process: joined or started, outliving nobody, restarted when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import filelock
import psutil
import pytest
from tests import holds
from tests.store.conftest import count, duplicates, insert, trade

from chdb_http import child_process, endpoint_file, idle_shutdown
from polybackfill import clocks, errors
from polybackfill.store import client, embedded, migrate

CLOCK = clocks.SystemClock()
# Another process that uses the store until it is told to stop, or killed.
USER = """
import asyncio, sys
from pathlib import Path
from polybackfill import clocks
from polybackfill.store import client

async def main():
    address = client.Address(data_dir=Path(sys.argv[1]))
    store = await client.open(address, clock=clocks.SystemClock())
    print(await store.text("SELECT 41 + 1"), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.close()

asyncio.run(main())
"""


async def opened(folder: Path) -> client.Store:
    return await client.open(client.Address(data_dir=folder), clock=CLOCK)


def pid_of(folder: Path) -> int:
    pid = holds.endpoint_of(folder).pid
    assert pid is not None
    return pid


async def until(met: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 - another process ends, nothing announces it
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@contextlib.asynccontextmanager
async def another_user(folder: Path) -> Callable[[], Awaitable[None]]:  # type: ignore[misc]
    user = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert user.stdout is not None
    assert await asyncio.to_thread(user.stdout.readline) == b"b'42\\n'\n"
    try:
        yield user
    finally:
        await asyncio.to_thread(user.communicate)


async def test_many_users_share_one_child_that_ends_with_the_last(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(opened(tmp_path) for _ in range(4)))
    pid = pid_of(tmp_path)
    async with another_user(tmp_path):
        assert pid_of(tmp_path) == pid
        for store in stores:
            await store.close()
        await asyncio.sleep(idle_shutdown.GRACE_S + 0.5)
        assert not gone(pid)
    await until(lambda: gone(pid))
    last = endpoint_file.read(tmp_path)
    assert last is not None
    assert last.pid is None


async def test_whoever_removes_the_folder_can_wait_for_the_childs_last_write(
    tmp_path: Path,
) -> None:
    assert await child_process.wait_until_ended(tmp_path / "never made")
    store = await opened(tmp_path)
    assert not await child_process.wait_until_ended(tmp_path, within_s=0.3)
    await store.close()
    assert await child_process.wait_until_ended(tmp_path)
    last = endpoint_file.read(tmp_path)
    assert last is not None
    assert last.pid is None


async def test_the_kernel_ends_the_hold_of_a_killed_user(tmp_path: Path) -> None:
    async with another_user(tmp_path) as user:
        pid = pid_of(tmp_path)
        user.kill()
        await until(lambda: gone(pid))
    assert gone(pid)


async def test_ctrl_c_and_sigterm_do_not_take_the_store_from_its_users(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    pid = pid_of(tmp_path)
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    await store.command("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
    await store.insert("kept", b'{"a": 1}', rows=1)
    await store.close()
    await until(lambda: gone(pid), within_s=idle_shutdown.GRACE_S + 5)
    store = await opened(tmp_path)
    assert await count(store, "kept") == 1
    await store.close()


async def test_a_killed_child_is_started_again_on_its_port(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    before = holds.endpoint_of(tmp_path)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    assert await store.rows("SELECT 1 AS one") == [{"one": 1}]
    after = holds.endpoint_of(tmp_path)
    assert after.port == before.port
    assert after.pid != before.pid
    await store.close()


async def test_six_kills_lose_no_acknowledged_row_and_double_none(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await migrate.up(store)
    acknowledged = 0
    ended = asyncio.Event()

    async def write() -> None:
        nonlocal acknowledged
        first = 0
        while not ended.is_set():
            await insert(store, [trade(number) for number in range(first, first + 2_000)])
            acknowledged = first = first + 2_000

    async def kill() -> None:
        for number in range(6):
            seen = acknowledged
            await until(lambda: acknowledged > seen + 2_000)  # noqa: B023 - awaited at once
            await asyncio.sleep(0.005 * number)
            os.kill(pid_of(tmp_path), signal.SIGKILL)
        ended.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(kill())
    assert await count(store) == acknowledged
    assert await duplicates(store) == 0
    await store.close()


async def test_a_folder_held_by_another_program_stops_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LOCK_WAIT_S", 0.3)
    holder = endpoint_file.Endpoint(endpoint_file.HOST, 1, 4321, 0.0)
    endpoint_file.write(tmp_path, holder)
    lock = filelock.FileLock(endpoint_file.lock_path(tmp_path))
    with lock, pytest.raises(errors.Stop, match="in use by process 4321") as raised:
        await opened(tmp_path)
    assert raised.value.exit_code == errors.EXIT_UNAVAILABLE


async def test_a_folder_that_cannot_be_made_stops_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.Stop, match="BACKFILL_DATA_DIR"):
        await opened(tmp_path / "file" / "data")


async def test_a_damaged_address_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{")
    store = await opened(tmp_path)
    assert await store.rows("SELECT 1 AS one") == [{"one": 1}]
    await store.close()


async def test_the_password_is_not_in_the_childs_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hush")
    store = await opened(tmp_path)
    environment = psutil.Process(pid_of(tmp_path)).environ()
    assert "CLICKHOUSE_PASSWORD" not in environment
    assert environment["TZ"] == "UTC"
    await store.close()


async def kill_starting(folder: Path, times: int) -> None:
    """Kill so many children of the folder, each before it can say anything."""
    for _ in range(times):
        starting: list[psutil.Process] = []

        def appeared(starting: list[psutil.Process] = starting) -> bool:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if str(folder) in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                        starting.append(child)
            return bool(starting)

        await until(appeared)
        starting[0].kill()
        await until(lambda pid=starting[0].pid: gone(pid))


async def test_a_child_killed_while_it_starts_is_started_again(tmp_path: Path) -> None:
    _, store = await asyncio.gather(kill_starting(tmp_path, 2), opened(tmp_path))
    assert await store.text("SELECT 41 + 1") == b"42\n"
    await store.close()


async def test_a_child_that_is_always_killed_is_no_locked_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.Stop, match=r"without an error message.*store\.log") as refused:
        await asyncio.gather(kill_starting(tmp_path, 3), opened(tmp_path))
    assert refused.value.exit_code == errors.EXIT_UNAVAILABLE
    assert "BACKFILL_DATA_DIR" not in str(refused.value)
