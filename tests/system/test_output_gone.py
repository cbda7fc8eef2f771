"""What nobody can read, or no disk can hold, changes neither the rows nor the exit code."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def slow_sandbox() -> Iterator[harness.Sandbox]:
    """A run that lasts long enough to say something meanwhile."""
    with harness.sandbox(trades=3_000, wallets=40, markets=40, latency_ms=40) as running:
        yield running


@pytest.fixture
def ground(
    tmp_path: Path, slow_sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """A folder with settings that point at it."""
    with harness.ground(tmp_path, slow_sandbox.url, prepared=prepared, workers=2) as made:
        yield made


def _to_full_disk() -> None:
    full = os.open(FULL, os.O_WRONLY)
    os.dup2(full, 1)
    os.dup2(full, 2)


def _closed() -> None:
    os.closerange(0, 3)


def _to_nobody() -> None:
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.close(reader)


@pytest.mark.parametrize(
    ("prepare", "bad"),
    [
        (_to_full_disk, False),
        (_closed, True),
        pytest.param(_to_nobody, False, marks=pytest.mark.long),
        pytest.param(_to_full_disk, True, marks=pytest.mark.long),
        pytest.param(_closed, False, marks=pytest.mark.long),
    ],
)
def test_nobody_takes_what_a_run_says(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, prepare: Callable[[], None], bad: bool
) -> None:
    slow_sandbox.reset()
    if bad:
        slow_sandbox.faults({"kind": "400", "match": slow_sandbox.wallets[0].removeprefix("0x")})
    ground.set(log_file=FULL if bad else ground.data / "log.jsonl")
    ended = subprocess.run(
        [*harness.COMMAND, "run", "--wallet", ",".join(slow_sandbox.wallets[:12])],
        cwd=ground.folder,
        env=ground.environment,
        preexec_fn=prepare,
        check=False,
        timeout=60,
    )
    assert ended.returncode == (errors.EXIT_UNITS_IN_ERROR if bad else 0)
    stored = {row["name"]: row["rows"] for row in ground.sql(harness.STATE)}
    truth = slow_sandbox.truth(slow_sandbox.wallets[bad:12], [])
    assert stored["trades"] == truth["trades"]["rows"]
    if not bad:
        assert '"event":"run.ended"' in (ground.data / "log.jsonl").read_text()
        assert not list(ground.checkpoints.rglob("*.tmp"))


@pytest.mark.parametrize("ignored", [True, False], ids=["nohup", "no nohup"])
def test_the_terminal_goes_away(
    ground: harness.Ground, slow_sandbox: harness.Sandbox, ignored: bool
) -> None:
    """SIGHUP drains like SIGTERM, unless nohup has it ignored; then the run goes on to its end."""
    slow_sandbox.reset()
    ours, theirs = pty.openpty()
    handling = signal.SIG_IGN if ignored else signal.SIG_DFL
    with subprocess.Popen(
        [*harness.COMMAND, "run", "--wallet", ",".join(slow_sandbox.wallets)],
        cwd=ground.folder,
        env=ground.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, handling),  # noqa: PLW1509
    ) as run:
        os.close(theirs)
        harness.until(lambda: slow_sandbox.pages() > 8, "pages under way")
        os.close(ours)  # every further line is refused with EIO
        run.send_signal(signal.SIGHUP)
        assert run.wait(timeout=60) == 0
    (ended,) = ground.events("run.ended")
    assert ended["state"] == ("finished" if ignored else "stopped")
    if not ignored:
        assert len(ground.events("run.draining")) == 1
        ground.run("run", "--wallet", ",".join(slow_sandbox.wallets)).expect(0)
    stored = {row["name"]: row["rows"] for row in ground.sql(harness.STATE)}
    assert stored["trades"] == slow_sandbox.truth(conditions=[])["trades"]["rows"]


def test_the_output_of_other_commands_is_their_result(ground: harness.Ground) -> None:
    """There a full disk is an error, passing and in words."""
    ground.run("init").expect(0)
    with FULL.open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "polybackfill", "sql", "SELECT number FROM numbers(100000)"],
            cwd=ground.folder,
            env=ground.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == errors.EXIT_UNAVAILABLE
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
