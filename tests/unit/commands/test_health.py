"""Healthy is who gets somewhere or waits; a living process alone is not."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.commands import status
from polybackfill.filesystem import lock
from polybackfill.reports import snapshot


@pytest.fixture
def words(tmp_path: Path) -> argparse.Namespace:
    """`status --health` on a folder of its own."""
    return argparse.Namespace(
        watch=False,
        data_dir=tmp_path / "data",
        checkpoint_dir=tmp_path / "checkpoints",
        config=None,
        health=True,
        json=False,
    )


@pytest.fixture
def owned(words: argparse.Namespace) -> Iterator[None]:
    """A run is active."""
    with lock.hold(words.checkpoint_dir / "main"):
        yield


def picture(words: argparse.Namespace, **changes: Any) -> None:
    """What the run last showed."""
    file = snapshot.snapshot_path(words.data_dir, "main")
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = {"pid": os.getpid(), "now": time.time(), "still_s": 0.2, "waiting_for": None}
    file.write_text(json.dumps({**shown, **changes}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, errors.EXIT_OK),
        ({"still_s": 100}, errors.EXIT_OK),
        ({"still_s": 900}, errors.EXIT_NO_PROGRESS),
        ({"still_s": 900, "waiting_for": "pause data 600 s"}, errors.EXIT_OK),
        ({"now": time.time() - 60}, errors.EXIT_NO_PROGRESS),
        ({"now": time.time() - 60, "waiting_for": "the store"}, errors.EXIT_NO_PROGRESS),
        ({"pid": 1, "now": time.time() - 90_000}, errors.EXIT_OK),  # the run before this one
    ],
)
@pytest.mark.usefixtures("owned")
def test_of_an_active_run(changes: dict[str, Any], code: int, words: argparse.Namespace) -> None:
    picture(words, **changes)
    assert status.status(words) == code


@pytest.mark.usefixtures("owned")
def test_of_a_run_that_begins_and_of_one_that_never_gets_beyond_that(
    words: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status.status(words) == errors.EXIT_OK
    monkeypatch.setattr(status, "_START_S", -1.0)
    assert status.status(words) == errors.EXIT_NO_PROGRESS


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("finished", errors.EXIT_UNITS_IN_ERROR),
        ("stopped", errors.EXIT_UNITS_IN_ERROR),
        ("failed", errors.EXIT_UNAVAILABLE),
        ("running", errors.EXIT_UNAVAILABLE),
        ("finishing", errors.EXIT_UNAVAILABLE),
    ],
)
def test_of_a_run_that_is_over_its_last_state_tells_whether_it_died(
    state: str, code: int, words: argparse.Namespace
) -> None:
    assert status.status(words) == errors.EXIT_UNITS_IN_ERROR, "none has been started yet"
    picture(words, still_s=900, now=0, state=state)
    assert status.status(words) == code
