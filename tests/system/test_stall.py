"""A stuck worker is replaced, a waiting one is not, and a blocked loop does not look alive."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

BLOCKER = Path(__file__).with_name("blocker.py")
STALL_S = 2.0
CHECK_S = 0.5  # the pool looks every 0.25 s; twice that on a busy machine


def test_requests_without_an_end_are_noticed_and_other_workers_finish_the_units(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Seed 001, supervisor: a hung worker is detected within the bound, its item finished by
    another, exactly once in the result.
    """
    # The deadline of a request is far off, so that only the stall bound can notice.
    ground.set(request_deadline_s=60, stall_s=STALL_S)
    sandbox.faults(
        {"kind": "hang", "route": "activity", "count": 2, "after": 5},
        {"kind": "drip", "route": "activity", "count": 1, "after": 9, "interval_s": 0.3},
    )
    began_at = time.monotonic()
    ended = ground.run("run", *ground.write_keys(sandbox), within_s=40)
    ended.expect(0)
    assert time.monotonic() - began_at < 30
    ground.prove(sandbox)
    stalled = ground.events("worker.stalled")
    assert len(stalled) == 3
    for event in stalled:
        assert STALL_S <= event["idle_s"] <= STALL_S + CHECK_S
        assert "/v2/activity" in event["doing"]
        first, *later = _begins(ground, event["unit"])
        assert first == 1
        assert len(later) == 1
    # The stacks name the awaits that hang: for the head of an answer, and for its body.
    bodies = ["Client._read_body" in event["stack"] for event in stalled]
    assert all("Client._exchange" in event["stack"] for event in stalled)
    assert sorted(bodies) == [False, False, True]


@pytest.mark.long
def test_a_worker_in_a_long_retry_after_is_left_alone(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground.set(stall_s=STALL_S)
    sandbox.faults(
        {"kind": "429_json", "route": "data", "count": 1, "after": 10, "retry_after_s": 6}
    )
    began_at = time.monotonic()
    ended = ground.run("run", *ground.write_keys(sandbox), within_s=40)
    ended.expect(0)
    assert time.monotonic() - began_at >= 6
    assert sandbox.fired() == {"429_json": 1}
    assert ground.events("worker.stalled") == []
    ground.prove(sandbox)


class Manager:
    """The service manager's end of the notify socket: messages and when they came."""

    def __init__(self, path: Path) -> None:
        self.messages: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="manager")
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            self.messages.append((time.monotonic(), message))

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def pings(self) -> list[float]:
        """When the watchdog was fed."""
        return [at for at, message in self.messages if "WATCHDOG=1" in message]


@pytest.fixture
def manager(tmp_path: Path, ground: harness.Ground) -> Iterator[Manager]:
    """A service manager that wants a ping every 1.2 s."""
    made = Manager(tmp_path / "notify")
    ground.environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    ground.environment["WATCHDOG_USEC"] = "1200000"
    yield made
    made.close()


def test_a_blocked_loop_lets_the_watchdog_starve(
    manager: Manager, ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    # First a pause in which the workers wait politely, then the loop is blocked.
    sandbox.faults(
        {"kind": "429_json", "route": "data", "count": 1, "after": 10, "retry_after_s": 2}
    )
    ended = ground.run("run", *ground.write_keys(sandbox), driver=BLOCKER, within_s=40)
    ended.expect(0)
    first, last = (float(line.split()[-1]) for line in ended.err.splitlines() if "loop " in line)
    assert last - first >= 3.0
    pings = manager.pings()
    before = [at for at in pings if at < first]
    assert len(before) >= 3
    assert all(later - at < 1.2 for at, later in itertools.pairwise(before))
    assert [at for at in pings if first + 0.1 < at < last] == []
    # Nothing but that the start goes on comes before the word that it is over.
    begins = (text for _, text in manager.messages if not text.startswith("EXTEND_TIMEOUT_USEC="))
    assert next(begins) == "READY=1"


def _begins(ground: harness.Ground, unit_id: str) -> list[int]:
    """The attempts of a unit, as the journal tells them."""
    attempts = []
    for file in sorted(ground.checkpoint.glob("ledger*.jsonl")):
        for line in file.read_text().splitlines():
            event = json.loads(line)
            if event.get("event") == "begin" and unit_id.endswith(event["unit"]["keys"][0]):
                attempts.append(event["attempt"])
    return attempts
