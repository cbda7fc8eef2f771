"""The whole program, engine included, works under the system call filter of its unit."""

from __future__ import annotations

import ctypes.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import harness

from polybackfill.checks import table_digest

CONFINED = Path(__file__).with_name("confined.py")
UNIT = Path(__file__).resolve().parents[2] / "config" / "polybackfill.service"
PROGRAM = str(Path(sys.executable).with_name("polybackfill"))

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
    reason="needs systemd-analyze, which knows the lists of system calls, and libseccomp",
)


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


@pytest.mark.long
def test_a_run_of_everything_under_the_filter(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground.set(reports="true")
    ended = subprocess.run(
        [sys.executable, str(CONFINED), str(UNIT), PROGRAM, "run"],
        env=ground.environment,
        cwd=ground.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "Every part is proven complete" in ended.stdout
    assert "not permitted" not in (ground.store / "store.log").read_text()
    trades = f"SELECT rows, digest FROM ({table_digest.TRADES})"
    ((rows, seen),) = [tuple(row.values()) for row in ground.sql(trades)]
    truth = sandbox.ask("truth")["trades"]
    assert (rows, seen) == (truth["rows"], truth["digest"])
