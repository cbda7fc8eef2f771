"""A unit test asks no server, starts no process and waits for nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from tests import virtual_clock

# As Python's audit events name them. What needs one of these is an integration test.
_REFUSED = frozenset(
    {
        *("socket.bind", "socket.connect", "socket.getaddrinfo"),
        *("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"),
        "time.sleep",
    }
)
_running: list[str] = []  # the unit test that runs now, if one does
_refusals: list[str] = []


def _refuse(event: str, arguments: object) -> None:
    if event in _REFUSED and _running:
        _refusals.append(f"{_running[-1]} is no unit test: {event} {arguments}")
        raise AssertionError(_refusals[-1])


sys.addaudithook(_refuse)  # Python takes none back, hence `_running`


@pytest.fixture(autouse=True)
def refusals(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """What this test was refused. It fails for that, even if the code has caught the error."""
    monkeypatch.setattr(time, "sleep", lambda duration_s: _refuse("time.sleep", duration_s))
    _refusals.clear()
    _running.append(request.node.nodeid)
    yield _refusals
    _running.clear()
    assert _refusals == []


def pytest_asyncio_loop_factories() -> dict[str, type[virtual_clock.VirtualLoop]]:
    """The time of a unit test's event loop jumps to whatever is due next."""
    return {"virtual": virtual_clock.VirtualLoop}
