"""What the page does to a run and asks of it, and what it is told when nobody knows."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polybackfill import errors, settings
from polybackfill.filesystem import lock
from polybackfill.monitoring import page_server
from polybackfill.reports import run_files, snapshot, worker_list
from polybackfill.run import run_view

OWNER = lock.this_process(1.0)


class Run:
    """A run that is in this process, as its files tell; `signals`: what it was sent."""

    def __init__(self) -> None:
        self.owner: lock.Owner | None = OWNER
        self.picture: dict[str, Any] | None = None
        self.signals: list[tuple[int, int]] = []

    def draw(self, state: str, owner: lock.Owner = OWNER) -> None:
        """Its picture."""
        named = msgspec.to_builtins(owner)
        self.picture = {"state": state, "pid": owner.pid, "owner": named, "now": 2.0}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run()
    monkeypatch.setattr(run_files, "read_status", lambda _: (run.picture, run.owner))
    monkeypatch.setattr(os, "kill", lambda pid, number: run.signals.append((pid, number)))
    monkeypatch.setattr(lock, "is_alive", lambda _: True)
    return run


@pytest.fixture
def view(tmp_path: Path) -> run_view.RunView:
    return run_view.RunView(settings.load({"data_dir": tmp_path}))


def test_a_run_is_stopped_once(run: Run, view: run_view.RunView) -> None:
    run.draw("running")
    assert view.drain({}) == {"stopping": OWNER.pid}
    assert view.drain({}) == {"stopping": OWNER.pid}
    assert run.signals == [(OWNER.pid, signal.SIGTERM)]


def test_of_two_pages_one_stops_the_run(run: Run, view: run_view.RunView, tmp_path: Path) -> None:
    run.draw("running")
    other = run_view.RunView(settings.load({"data_dir": tmp_path}))
    assert view.drain({}) == other.drain({}) == {"stopping": OWNER.pid}
    assert run.signals == [(OWNER.pid, signal.SIGTERM)]


def test_a_run_that_drains_already_is_not_signalled(run: Run, view: run_view.RunView) -> None:
    run.draw("draining")
    assert view.drain({}) == {"stopping": OWNER.pid}
    assert run.signals == []


def test_the_next_run_with_the_same_number_is_stopped(run: Run, view: run_view.RunView) -> None:
    """In a container each has the number 1. Until its first picture the one before is there."""
    run.draw("draining")
    run.owner = msgspec.structs.replace(OWNER, born="another", started_at=3.0)
    view.drain({})
    assert run.signals == [(OWNER.pid, signal.SIGTERM)]
    run.owner = msgspec.structs.replace(OWNER, born="a third", started_at=4.0)
    view.drain({})
    assert len(run.signals) == 2


def test_where_no_run_is_nothing_is_stopped(run: Run, view: run_view.RunView) -> None:
    run.owner = None
    with pytest.raises(errors.Stop, match="no run of this machine"):
        view.drain({})
    assert run.signals == []


def test_without_a_checkpoint_errors_are_unknown(run: Run, view: run_view.RunView) -> None:
    run.owner = None
    unknown = {"map": {}, "errors": None, "failed": {}, "asked_again": 0}
    assert view.checkpoint({}) == unknown


def test_a_run_without_a_list_of_its_workers_does_not_say_that_nobody_works(
    run: Run, view: run_view.RunView, tmp_path: Path
) -> None:
    run.draw("running")
    assert view.workers({})["workers"] is None
    file = worker_list.workers_path(snapshot.snapshot_path(tmp_path, "main"))
    file.parent.mkdir()
    file.write_bytes(b"[]")
    assert view.workers({})["workers"] == []
    file.unlink()
    run.owner = None
    assert view.workers({})["workers"] == []


@pytest.mark.parametrize("kind", [None, 5, ["wallets"], "walets"])
def test_a_part_that_is_none_is_a_bad_parameter(view: run_view.RunView, kind: object) -> None:
    with pytest.raises(page_server.BadParameter):
        view.pause({"kind": kind})


def test_numbers_that_are_none_are_bad_parameters(view: run_view.RunView) -> None:
    for query in ({}, {"step": "1"}, {"step": "1", "cell": "x"}, {"step": "1.5", "cell": "0"}):
        with pytest.raises(page_server.BadParameter):
            view.units(query)
    with pytest.raises(page_server.BadParameter):
        view.history({"since": "yesterday"})
    assert view.history({}) == []
    assert view.units({"kind": "wallets", "step": "0", "cell": "0"})["receipts"] == []
