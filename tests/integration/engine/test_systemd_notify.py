"""What systemd hears, over a real datagram socket, by path and by abstract name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from polybackfill.engine import systemd_notify


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_hears_readiness_status_and_stopping(tmp_path: Path, abstract: bool) -> None:
    name = f"polybackfill-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(5)
        notifier = systemd_notify.Notifier("@" + name if abstract else name, watchdog_s=None)
        notifier.ready()
        notifier.status("half way")
        notifier.alive()
        notifier.stopping(30)
        heard = [manager.recv(4096).decode() for _ in range(4)]
    assert heard == [
        "READY=1",
        "STATUS=half way",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000",
    ]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = systemd_notify.Notifier.from_environment()
    notifier.ready()
    assert notifier.watchdog_s is None


def test_the_watchdog_period_is_only_ours_when_the_pid_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd_notify.Notifier.from_environment().watchdog_s == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd_notify.Notifier.from_environment().watchdog_s is None
