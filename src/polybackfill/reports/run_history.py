"""How a run went, hour by hour: one sample of its picture every few seconds, kept across restarts.

One line of JSON a sample, in a file beside the status file. The file is bounded: when it is full,
its older half goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

log = structlog.get_logger()

EVERY_S = 15.0
_MOST_BYTES = 4_000_000  # about 36 hours


class Sample(msgspec.Struct, frozen=True):
    """A run at the second `at` (epoch).

    `insert_lag_s`: how long the oldest fetched row had waited for its insert. `sent`: requests a
    second by budget; `allowed`: what each budget allowed then.
    """

    at: float
    share: float | None
    eta_s: float | None
    rows_per_s: float
    insert_lag_s: float
    sent: dict[str, float]
    allowed: dict[str, float]
    in_error: int = 0


def history_path(status_file: Path) -> Path:
    """Where the samples of the run with this status file lie."""
    return status_file.with_suffix(".history.jsonl")


def sample_of(picture: Mapping[str, Any]) -> Sample:
    """What is kept of a picture (`reports.snapshot`). Budgets that nothing was sent by are left."""
    used = {name: budget for name, budget in picture["budgets"].items() if budget["sent"]}
    return Sample(
        at=picture["now"],
        share=picture["share"],
        eta_s=picture["eta_s"],
        rows_per_s=picture["rows_per_s"],
        insert_lag_s=picture["batch"]["age_s"],
        sent={name: budget["rate_per_s"] for name, budget in used.items()},
        allowed={name: budget["allowed_per_s"] for name, budget in used.items()},
        in_error=sum(part["error"] for part in picture["parts"].values()),
    )


class HistoryWriter:
    """Appends samples of one run. What cannot be written is left: it must not end a run."""

    def __init__(self, file: Path, *, most_bytes: int = _MOST_BYTES) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._next_at = 0.0

    def add(self, picture: Mapping[str, Any]) -> None:
        """Keep a sample of the picture, if it is time for one."""
        if picture["now"] < self._next_at < picture["now"] + EVERY_S:  # a clock may be set back
            return
        self._next_at = picture["now"] + EVERY_S
        try:
            self._make_room()
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(sample_of(picture)) + b"\n")
        except OSError as error:
            log.warning("history.not_written", file=str(self._file), error=error.strerror)

    def _make_room(self) -> None:
        if not self._file.exists() or self._file.stat().st_size < self._most_bytes:
            return
        lines = self._file.read_bytes().splitlines(keepends=True)
        fresh = self._file.with_suffix(".tmp")
        fresh.write_bytes(b"".join(lines[len(lines) // 2 :]))
        fresh.replace(self._file)


def read_history(file: Path, *, since: float) -> list[Sample]:
    """The samples after `since` (epoch seconds), oldest first; a line that a crash cut is left."""
    samples = []
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                samples.append(msgspec.json.decode(line, type=Sample))
    return [sample for sample in samples if sample.at > since]


def thin_out(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most `most` samples: rates of neighbours are averaged, of the rest the last one counts."""
    together = -(-len(samples) // most) if samples else 1
    groups = [samples[first : first + together] for first in range(0, len(samples), together)]
    return [_joined(group) for group in groups]


def _joined(group: Sequence[Sample]) -> Sample:
    last = group[-1]
    return msgspec.structs.replace(
        last,
        rows_per_s=_mean(sample.rows_per_s for sample in group),
        insert_lag_s=max(sample.insert_lag_s for sample in group),
        sent={name: _mean(sample.sent.get(name, 0.0) for sample in group) for name in last.sent},
    )


def _mean(figures: Iterable[float]) -> float:
    figures = list(figures)
    return round(sum(figures) / len(figures), 2)
