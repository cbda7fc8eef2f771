"""Runs inside this process: settings that point at the sandbox, and one store for a module."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests import harness, holds

from polybackfill import settings
from polybackfill.run import backfill, run_request, run_summary

_numbers = itertools.count(1)
NewSettings = Callable[..., settings.Settings]


@pytest.fixture(scope="module")
def open_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose store runs as long as the module's tests."""
    folder = tmp_path_factory.mktemp("data")
    with holds.held(folder / "clickhouse", migrated=True):
        yield folder


@pytest.fixture
def new_settings(open_store: Path, tmp_path: Path, sandbox: harness.Sandbox) -> NewSettings:
    """Settings of a run with a checkpoint of its own, quick to fail."""

    def make(**changes: object) -> settings.Settings:
        flags = {
            "data_url": f"{sandbox.url}/data",
            "gamma_url": f"{sandbox.url}/gamma",
            "clob_url": f"{sandbox.url}/clob",
            "data_dir": open_store,
            "checkpoint_dir": tmp_path / "checkpoints",
            "log_file": tmp_path / "log.jsonl",
            "run_name": f"run-{next(_numbers)}",
            "limits": {"/v2/trades": 1_000_000, "/v2/activity": 1_000_000, "/v2/*": 1_000_000},
            "workers": 3,
            "batch_age_s": 0.2,
            "grace_s": 5.0,
            "page_attempts": 2,
            "max_attempts": 2,
            "backoff_cap_s": 0.05,
        }
        return settings.load({**flags, **changes})

    return make


async def run(
    chosen: settings.Settings, request: run_request.RunRequest, *, as_json: bool = False
) -> int:
    """As the command does it; returns the exit code."""
    show = partial(run_summary.RunSummary.show, as_json=as_json)
    return (await backfill.Backfill(chosen, request, show=show).run()).exit_code
