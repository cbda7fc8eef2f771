"""One owner for a checkpoint folder."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import msgspec
import pytest
from tests import harness

from polybackfill import errors
from polybackfill.filesystem import lock

OWNER = """
import subprocess, sys
from pathlib import Path
from polybackfill.filesystem import lock

with lock.hold(Path(sys.argv[1])):
    # A child of the owner, like the store's: it must not keep the lock when the owner is killed.
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=0)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_owner(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip().isdigit()
        try:
            yield process
        finally:
            process.kill()


def test_the_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with (
        another_owner(tmp_path) as first,
        pytest.raises(errors.Stop) as caught,
        lock.hold(tmp_path),
    ):
        pytest.fail("two owners at once")
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE
    for word in (str(tmp_path), str(first.pid), socket.gethostname(), "since 20", "--run-name"):
        assert word in str(caught.value)


def test_the_folder_is_free_once_its_owner_was_killed_though_its_child_lives(
    tmp_path: Path,
) -> None:
    with another_owner(tmp_path) as first:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        assert lock.holder(tmp_path) is None
        with lock.hold(tmp_path) as owner:
            assert owner.pid == os.getpid()


def test_the_holder_can_be_asked_for_from_outside(tmp_path: Path) -> None:
    assert lock.holder(tmp_path) is None
    assert lock.holder(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()
    with another_owner(tmp_path) as first:
        holder = lock.holder(tmp_path)
        assert holder is not None
        assert (holder.host, holder.pid) == (socket.gethostname(), first.pid)
        assert holder.since.endswith("UTC")
        (tmp_path / lock.OWNER_FILE).unlink()
        assert lock.holder(tmp_path) == lock.Owner(host="unknown", pid=0, started_at=0.0)
        (tmp_path / lock.OWNER_FILE).write_text("{")
        assert lock.holder(tmp_path) == lock.Owner(host="unknown", pid=0, started_at=0.0)


def test_to_ask_takes_no_lock_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_more: object) -> None:
        pytest.fail("a reader took the lock")

    with another_owner(tmp_path) as first:
        before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
        monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
        holder = lock.holder(tmp_path)
        assert holder is not None
        assert holder.pid == first.pid
        assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def test_what_can_be_known_of_a_process() -> None:
    own = lock.this_process(1.0)
    assert lock.is_alive(own) is True
    changed = functools.partial(msgspec.structs.replace, own)
    assert lock.is_alive(changed(pid=1, born="")) is True, "another user's perhaps, but there"
    with subprocess.Popen(["sleep", "0"]) as ended:
        pass
    assert lock.is_alive(changed(pid=ended.pid)) is False
    assert lock.is_alive(changed(born="1")) is False, "its number has gone to another process"
    assert lock.is_alive(changed(boot="x")) is False, "the machine was started anew"
    assert lock.is_alive(changed(boot="x", host="elsewhere")) is None
    assert lock.is_alive(changed(namespace="pid:[1]")) is None, "a container"
    assert lock.is_alive(changed(pid=0)) is None


def test_a_killed_process_that_nobody_has_waited_for_is_dead() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        owner = msgspec.structs.replace(lock.this_process(1.0), pid=process.pid, born="")
        assert lock.is_alive(owner) is True
        process.kill()
        harness.until(lambda: lock.is_alive(owner) is False, "the end of the process")


def test_the_lock_can_be_taken_again_after_the_block_whatever_happened_in_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(KeyError), lock.hold(tmp_path / "new" / "run"):
        raise KeyError
    with lock.hold(tmp_path / "new" / "run"):
        assert lock.holder(tmp_path / "new" / "run") is not None
    assert lock.holder(tmp_path / "new" / "run") is None


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(errors.Stop, match="BACKFILL_CHECKPOINT_DIR") as caught,
        lock.hold(tmp_path / "file" / "run"),
    ):
        pytest.fail("locked a folder inside a file")
    assert caught.value.exit_code == errors.EXIT_CONFIG
