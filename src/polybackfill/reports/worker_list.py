"""Who works on what: written every few seconds beside the status file, for who looks closer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson

from polybackfill import units
from polybackfill.engine import worker_pool

EVERY_S = 5.0
_TAIL_BYTES = 1_000_000
_STALLS = 5


def workers_path(status_file: Path) -> Path:
    """Where the workers of the run with this status file are listed."""
    return status_file.with_suffix(".workers.json")


def list_workers(
    pools: Iterable[worker_pool.WorkerPool], count_pages: Callable[[units.Unit], int]
) -> bytes:
    """The workers that hold a unit, as JSON. `count_pages`: of a unit, whose rows are stored."""
    return orjson.dumps([worker for pool in pools for worker in pool.describe_workers(count_pages)])


def read_workers(status_file: Path) -> list[dict[str, Any]] | None:
    """The workers as they were last listed, the longest idle first; None when there is no list."""
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        listed: list[dict[str, Any]] = orjson.loads(workers_path(status_file).read_bytes())
        return sorted(listed, key=lambda worker: -float(worker["idle_s"]))
    return None


def read_stalls(log_file: Path) -> list[dict[str, Any]]:
    """The last stalls in the end of a log, with their stacks, the newest first."""
    with contextlib.suppress(OSError), log_file.open("rb") as file:
        file.seek(max(0, log_file.stat().st_size - _TAIL_BYTES))
        lines = [line for line in file if b'"worker.stalled"' in line]
        stalls = []
        for line in lines[-_STALLS:]:
            with contextlib.suppress(orjson.JSONDecodeError):
                stalls.append(orjson.loads(line))
        return stalls[::-1]
    return []
