"""A night in small: a run follows a Polymarket that grows, with all that can go wrong meanwhile.

`FOLLOW_S`: how many seconds of growth, 20 minutes by default.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests import harness
from tests.system import receiver as receivers

NIGHT_S = float(os.environ.get("FOLLOW_S", "1200"))
OUT_S = 15.0
SETTLES_S = 240.0
FIELD = "unknown_field"


def following(ground: harness.Ground) -> dict[str, Any] | None:
    """How fresh the run says that it is."""
    picture = ground.status()
    followed: dict[str, Any] | None = picture and picture.get("following")
    return followed


def file_bytes(folder: Path) -> int:
    """Of all files there are; one that goes meanwhile has none."""
    sizes = []
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return sum(sizes)


class Night:
    """What happens when, in shares of the night; meanwhile sizes are looked at.

    Files rise and fall as the checkpoint is folded, so peaks of two stretches are compared.
    """

    def __init__(self, ground: harness.Ground) -> None:
        self.began = time.monotonic()
        self._ground = ground
        self.memory: list[tuple[float, int]] = []
        self.files: list[tuple[float, int]] = []
        self.daemon: harness.Daemon | None = None

    def wait_until(self, share: float) -> None:
        """Return when so much of it is over."""
        due = self.began + share * NIGHT_S
        left = max(1.0, due - time.monotonic()) + 5

        def is_due() -> bool:
            self._look()
            return time.monotonic() >= due

        harness.until(is_due, f"{share} of the night", left, every_s=0.5)

    def _look(self) -> None:
        share = (time.monotonic() - self.began) / NIGHT_S
        self.files.append((share, file_bytes(self._ground.checkpoint)))
        if self.daemon is not None and self.daemon.running:
            rss = psutil.Process(self.daemon.pid).memory_info().rss
            self.memory.append((share, rss))


def peak(samples: list[tuple[float, int]], since: float, until: float) -> int:
    """The largest of a stretch of the night."""
    return max(size for share, size in samples if since <= share <= until)


def stop_store(ground: harness.Ground, met: Callable[[], bool]) -> None:
    """The store answers nothing until `met`."""
    pid = ground.store_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        harness.until(met, "the outage to be noticed", 120, every_s=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.long
@pytest.mark.timeout(NIGHT_S + 900)
def test_a_night_in_small(tmp_path: Path) -> None:
    """Faults, late rows, a store outage, a SIGTERM and a SIGKILL: every table equals the truth,
    memory and files are flat, alerts and report say what was done to it and nothing else.
    """
    with (
        receivers.receiving() as receiver,
        harness.sandbox(
            trades=20_000, wallets=80, markets=80, now=int(time.time()), grow_s=NIGHT_S,
            late_rows=200,
        ) as sandbox,
        harness.ground(
            tmp_path, sandbox.url, reports="true", alert_url=receiver.url, alert_stall_s=OUT_S,
            follow_window_s=2, follow_round_s=NIGHT_S / 12, follow_lists_s=NIGHT_S / 3,
        ) as ground,
    ):  # fmt: skip
        daemon = ground.start("run", "--follow")
        harness.until(lambda: following(ground), "the first window", 300)
        sandbox.ask("grow", {})
        night = Night(ground)
        night.daemon = daemon
        night.wait_until(0.05)
        sandbox.faults(
            {"kind": "500", "route": "trades", "count": 20},
            {"kind": "reset", "route": "data", "count": 20},
            {"kind": "truncated", "route": "gamma", "count": 5},
            {"kind": FIELD, "route": "positions", "count": 1},
        )
        night.wait_until(0.2)
        stop_store(ground, lambda: "stall" in receiver.kinds())
        night.wait_until(0.45)
        daemon.signal(signal.SIGTERM)
        daemon.end(120).expect(0)
        night.daemon = daemon = ground.start("run", "--follow")
        night.wait_until(0.6)
        daemon.kill()
        night.daemon = daemon = ground.start("run", "--follow")
        night.wait_until(1.0)
        end = time.monotonic() + SETTLES_S + NIGHT_S / 12
        while (stored := ground.tables()) != (truth := harness.true_tables(sandbox)):
            assert time.monotonic() < end, f"stored {stored}, in truth {truth}"
            harness.until(lambda: daemon.running, "the daemon", 1, every_s=1)
        assert sum(sandbox.fired().values()) == 46, sandbox.fired()
        assert ground.duplicates() == 0
        followed = following(ground)
        assert followed is not None
        assert followed["gaps"] == []
        print(f"files: {night.files[:: len(night.files) // 60 + 1]}")
        for samples, bound in ((night.memory, 1.25), (night.files, 1.5)):
            early, late = peak(samples, 0.0, 0.45), peak(samples, 0.6, 1.0)
            assert late < early * bound, (early, late)
        daemon.signal(signal.SIGTERM)
        daemon.end(120).expect(0)
        assert sorted(receiver.kinds()) == ["drift", "end", "end", "stall"]
        report = json.loads((ground.data / "MORNING_REPORT.json").read_bytes())
        assert report["errors"] == []
        assert report["set_aside"] in ([], {}), report["set_aside"]
        assert report["drift"]["broken"] == {}
        assert "It followed up to" in report["lead"]
