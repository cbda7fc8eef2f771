"""Who spends the limits of this machine's address."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.polymarket import address

HOSTS = ("data.example:443", "gamma.example:443")
OTHER_USER = 65_534

HOLD = """
import asyncio, sys
from pathlib import Path
from polybackfill.polymarket import address

async def main():
    address.FOLDERS = (Path(sys.argv[1]),)
    async with address.spending(sys.argv[3:], float(sys.argv[2]), "run", run_name="night"):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(address, "FOLDERS", (shared,))
    return shared


@pytest.fixture
def everybodys_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where other users get to, which pytest's own folder is not."""
    shared = Path(tempfile.mkdtemp(dir="/tmp"))
    shared.chmod(0o1777)
    monkeypatch.setattr(address, "FOLDERS", (shared,))
    yield
    shutil.rmtree(shared)


def other_process(folder: Path, share: float, *hosts: str) -> subprocess.Popen[str]:
    process = started(folder, share, *hosts)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def started(folder: Path, share: float, *hosts: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(share), *hosts],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def as_other_user(told: Any, until: Any) -> None:
    """Another user's process: says whether it got in, or who is in the way."""
    os.setgid(OTHER_USER)
    os.setuid(OTHER_USER)

    async def main() -> None:
        try:
            async with address.spending(HOSTS, 1.0, "run"):
                told.put("in")
                await asyncio.to_thread(until.wait)
        except errors.Stop as refusal:
            told.put(str(refusal))

    asyncio.run(main())


async def test_the_second_is_refused_and_told_who_the_first_is(folder):
    with other_process(folder, 1.0, *HOSTS) as first:
        with pytest.raises(
            errors.Stop, match=rf"a run spends the .*process {first.pid} on .*run night"
        ) as told:
            async with address.spending(HOSTS[1:], 1.0, "market-ids lookup"):
                pass
        assert told.value.exit_code == errors.EXIT_UNAVAILABLE
        assert "BACKFILL_SHARE" in str(told.value)
        async with address.spending(("elsewhere.example:443",), 1.0, "run"):
            pass
        first.kill()
    assert address.spenders(HOSTS) == []
    async with address.spending(HOSTS, 1.0, "run"):
        assert [one.what for one in address.spenders(HOSTS)] == ["run"]
    assert not list((folder / address.FOLDER).glob("*.json"))  # that of the killed one too


async def test_shares_fit_together_up_to_the_whole():
    async with (
        address.spending(HOSTS, 0.7, "run"),
        address.spending(HOSTS, 0.2, "run"),
        address.spending(HOSTS, 0.1, "market-ids lookup"),
    ):
        with pytest.raises(errors.Stop):
            async with address.spending(HOSTS, 0.05, "run"):
                pass


async def test_a_brief_one_is_waited_for():
    ended = asyncio.Event()

    async def check() -> None:
        async with address.spending(HOSTS, 1.0, "doctor", brief=True):
            await asyncio.sleep(0.3)
            ended.set()

    checking = asyncio.create_task(check())
    await asyncio.sleep(0)
    async with address.spending(HOSTS, 1.0, "run"):
        assert ended.is_set()
    await checking


async def test_of_many_that_start_at_once_one_gets_in(folder):
    processes = [started(folder, 1.0, *HOSTS) for _ in range(5)]
    lines = [process.stdout.readline() for process in processes if process.stdout is not None]
    assert sorted(lines) == ["", "", "", "", "held\n"]
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
async def test_users_see_each_other_whoever_came_first(everybodys_folder):
    forking = multiprocessing.get_context("fork")
    told, until = forking.Queue(), forking.Event()
    first = forking.Process(target=as_other_user, args=(told, until))
    first.start()
    try:
        assert told.get(timeout=20) == "in"
        with pytest.raises(errors.Stop, match=str(first.pid)):
            async with address.spending(HOSTS, 1.0, "run"):
                pass
        until.set()
        first.join(20)
        async with address.spending(HOSTS, 1.0, "run"):
            second = forking.Process(target=as_other_user, args=(told, until))
            second.start()
            assert str(os.getpid()) in told.get(timeout=20)
            second.join(20)
    finally:
        first.kill()


async def test_what_others_leave_in_the_folder_hurts_nobody(folder):
    shared = folder / address.FOLDER
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "1-x.json").write_text("no json")
    (shared / "2-x.json").symlink_to("/etc/passwd")
    (shared / "3-x.json").mkdir()
    async with address.spending(HOSTS, 1.0, "run"):
        assert len(address.spenders(HOSTS)) == 1


async def test_where_no_folder_can_be_shared_everybody_is_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(address, "FOLDERS", (tmp_path / "absent" / "folder",))
    async with address.spending(HOSTS, 1.0, "run"):
        assert address.spenders(HOSTS) == []


@pytest.mark.parametrize("content", [b'{"what":"\xff"}', b'{"other":' + b"[" * 4_000])
def test_a_file_that_another_user_wrote_and_keeps_locked(folder, content):
    address.spenders(HOSTS)
    for place in address.FOLDERS:
        file = place / address.FOLDER / f"other{address._SUFFIX}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        with file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert address.spenders(HOSTS) == []
