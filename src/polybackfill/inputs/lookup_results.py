"""`market_id_lookup_results.jsonl`: each condition's market, or why there is none.

One JSON object a line, appended and synced batch by batch, never rewritten: a lookup that is killed
goes on where it was, a torn last line costs that line, and a line that comes twice changes nothing.

    {"condition_id": "0x…", "market_id": "512345", "source": "gamma", "token_ids": ["…", "…"], …}
    {"condition_id": "0x…", "market_id": null, "reason": "market_id_not_found", "retry_count": 2, …}

A miss is asked for again by every later lookup. `retry_count` counts days with a failed try, since
the lookup is a daily job and somebody who starts it three times in a morning has tried once; after
`MAX_TRIES` days it is `lookup_failed` and rests. Misses are also appended, in the words of the
ingestion plan, to `runtime/failed_market_id_lookups.jsonl`, for a monitor that follows a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors, records
from polybackfill.filesystem import files

RESULTS = "market_id_lookup_results.jsonl"
FAILED = Path("runtime") / "failed_market_id_lookups.jsonl"
MAX_TRIES = 7
_SAMPLES = 100  # of what is not usable, in the document of `finalize`
PENDING, LOOKUP_FAILED = "pending_lookup", "lookup_failed"
# What other programs write where they know nothing.
NO_IDS = frozenset({"", "unknown", "null", "none"})


@dataclass(frozen=True, slots=True)
class Hit:
    """A condition and its market. `source`: gamma, api_markets_staging, or store for what trades
    carried already.
    """

    condition_id: str
    market_id: str
    source: str
    token_ids: tuple[str, ...] = ()
    tokens: str = ""


@dataclass(frozen=True, slots=True)
class Miss:
    """A condition without an answer. `retry_count`: days with a failed try; `day`: the last one."""

    condition_id: str
    reason: str
    retry_count: int
    day: str

    @property
    def status(self) -> str:
        """pending_lookup, or lookup_failed when it is not asked for any more."""
        return LOOKUP_FAILED if self.retry_count >= MAX_TRIES else PENDING


@dataclass
class LookupResults:
    """What the lines of a file come to. Condition ids without 0x.

    `conflicts`: conditions for which different markets were found, with all of them; they are in
    `hits` no more. `parse_errors`: lines that are no JSON object with a condition id.
    """

    hits: dict[str, Hit] = field(default_factory=dict)
    misses: dict[str, Miss] = field(default_factory=dict)
    conflicts: dict[str, list[str]] = field(default_factory=dict)
    invalid: dict[str, str | None] = field(default_factory=dict)
    lines: int = 0
    repeated: int = 0
    parse_errors: int = 0

    def add_line(self, row: object) -> None:
        """Add one line's content."""
        self.lines += 1
        condition = _condition(row)
        if not condition or not isinstance(row, dict):
            self.parse_errors += 1
            return
        settled = condition in self.hits or condition in self.conflicts
        self.repeated += settled or condition in self.misses or condition in self.invalid
        market_id = _market_id(row.get("market_id"))
        if market_id is None and settled:
            return
        self.misses.pop(condition, None)
        self.invalid.pop(condition, None)
        if market_id is not None:
            self._hit(condition, market_id, row)
        elif "reason" in row:
            self.misses[condition] = _miss(condition, row)
        else:
            self.invalid[condition] = _shown(row.get("market_id"))

    def _hit(self, condition: str, market_id: str, row: dict[str, Any]) -> None:
        if condition in self.conflicts:
            others = self.conflicts[condition]
            others += [] if market_id in others else [market_id]
            return
        before = self.hits.get(condition)
        if before is not None and before.market_id != market_id:
            del self.hits[condition]
            self.conflicts[condition] = [before.market_id, market_id]
            return
        self.hits[condition] = Hit(
            condition,
            market_id,
            str(row.get("source", "")),
            _tokens(row.get("token_ids")),
            str(row.get("tokens", "")),
        )


class ResultsFile:
    """The file, open for one lookup. `folder`: BACKFILL_DATA_DIR. Raises errors.Stop."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESULTS
        self._failed_path = folder / FAILED
        self.results = read(self._path)

    def due(self, condition: str) -> bool:
        """Neither found yet, nor found twice differently, nor failed for good."""
        results, miss = self.results, self.results.misses.get(condition)
        if condition in results.hits or condition in results.conflicts:
            return False
        return miss is None or miss.status == PENDING

    def miss(self, condition: str, reason: str, now: float) -> Miss:
        """The miss to write down for a try that failed at `now`, epoch seconds."""
        before, day = self.results.misses.get(condition), _day(now)
        tries = 0 if before is None else before.retry_count - (before.day == day)
        return Miss(condition, reason, tries + 1, day)

    def append(self, hits: Sequence[Hit], misses: Sequence[Miss], now: float) -> None:
        """Write these down; on the disk when it returns."""
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        rows = [_hit_row(hit, moment) for hit in hits] + [
            _miss_row(miss, moment) for miss in misses
        ]
        _append(self._path, rows)
        failed = [
            {
                "timestamp": moment,
                "condition_id": records.show(miss.condition_id),
                "reason": miss.reason,
                "retry_count": miss.retry_count,
                "status": miss.status,
            }
            for miss in misses
        ]
        _append(self._failed_path, failed)
        for row in rows:
            self.results.add_line(row)


def read(path: Path) -> LookupResults:
    """What the file says; an absent one says nothing. Raises errors.Stop when it cannot be read."""
    results = LookupResults()
    if path.exists():
        for row in _rows(path):
            results.add_line(row)
    return results


def read_any(path: Path) -> LookupResults:
    """Like `read`, for a map in any of the forms that are about: JSON lines, a JSON array, or an
    object whose `mappings` or `valid_backfill_mappings` is one. Raises errors.Stop naming the file.
    """
    if not path.is_file():
        raise errors.Stop(
            f"{path} does not exist: polybackfill market-ids lookup, then market-ids finalize"
        )
    if path.suffix == ".jsonl":
        return read(path)
    with files.stopping("read", path):
        content = path.read_bytes()
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise errors.Stop(
            f"{path} is not JSON ({error}); write it again with polybackfill market-ids finalize, "
            "or name JSON lines .jsonl"
        ) from error
    for name in ("mappings", "valid_backfill_mappings"):
        if isinstance(document, dict) and name in document:
            document = document[name]
    if not isinstance(document, list):
        raise errors.Stop(
            f"{path} holds no list of mappings; expected "
            '[{"condition_id": "0x…", "market_id": "…"}, …], bare or under "mappings"'
        )
    results = LookupResults()
    for row in document:
        results.add_line(row)
    return results


def finalized(results: LookupResults, generated_at: str) -> dict[str, Any]:
    """The document of `finalize`: metadata, valid mappings, samples of the rest.

    `success_rate`: percent of the conditions asked that have one market, null when none was asked.
    """
    invalid = [
        *({"condition_id": records.show(one), "market_id": value, "reason": "invalid_market_id"}
          for one, value in sorted(results.invalid.items())),
        *({"condition_id": records.show(one.condition_id), "market_id": None,
           "reason": one.reason, "retry_count": one.retry_count}
          for one in sorted(results.misses.values(), key=lambda miss: miss.condition_id)),
    ]  # fmt: skip
    conflicts = [
        {"condition_id": records.show(one), "market_ids": markets}
        for one, markets in sorted(results.conflicts.items())
    ]
    valid, wrong = len(results.hits), len(invalid) + len(conflicts)
    return {
        "metadata": {
            "generated_at": generated_at,
            "total_lookups": valid + wrong,
            "valid_mappings": valid,
            "invalid_mappings": wrong,
            "success_rate": round(100 * valid / (valid + wrong), 2) if valid + wrong else None,
            "lines": results.lines,
            "repeated_lines": results.repeated,
            "parse_errors": results.parse_errors,
            "conflicts": len(conflicts),
        },
        "mappings": [
            {
                "condition_id": records.show(hit.condition_id),
                "market_id": hit.market_id,
                "source": hit.source,
                "token_ids": list(hit.token_ids),
            }
            for hit in sorted(results.hits.values(), key=lambda hit: hit.condition_id)
        ],
        "conflicts": conflicts[:_SAMPLES],
        "invalid_samples": invalid[:_SAMPLES],
    }


def _rows(path: Path) -> Iterator[object]:
    with files.stopping("read", path), path.open("rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield None


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    with files.stopping("write", path):
        lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        files.append_lines(path, b"".join(lines))


def _hit_row(hit: Hit, moment: str) -> dict[str, Any]:
    return {
        "condition_id": records.show(hit.condition_id),
        "market_id": hit.market_id,
        "source": hit.source,
        "token_ids": list(hit.token_ids),
        "tokens": hit.tokens,
        "found_at": moment,
    }


def _miss_row(miss: Miss, moment: str) -> dict[str, Any]:
    return {
        "condition_id": records.show(miss.condition_id),
        "market_id": None,
        "reason": miss.reason,
        "retry_count": miss.retry_count,
        "status": miss.status,
        "asked_at": moment,
    }


def _condition(row: object) -> str:
    named = row.get("condition_id") if isinstance(row, dict) else None
    if not isinstance(named, str):
        return ""
    try:
        return records.normalise_condition(named.strip())
    except errors.Reject:
        return ""


def _market_id(value: object) -> str | None:
    """The number of a market as text; None for null, '', 'unknown' and everything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or value.strip().lower() in NO_IDS:
        return None
    text = value.strip()
    return text if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _miss(condition: str, row: dict[str, Any]) -> Miss:
    tries = row.get("retry_count")
    return Miss(
        condition,
        str(row["reason"]),
        tries if isinstance(tries, int) else 1,
        str(row.get("asked_at", ""))[:10],
    )


def _tokens(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _shown(value: object) -> str | None:
    return None if value is None else str(value)[:100]


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
