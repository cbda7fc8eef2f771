"""What is logged arrives where it should, and never ends a run."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from polybackfill import errors
from polybackfill.views import logs


def lines(file: Path) -> list[dict[str, Any]]:
    """The events in a log file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_file_has_every_event_and_the_terminal_what_a_person_looks_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log" / "main.jsonl"
    with logs.configured(level="info", file=file):
        log = structlog.get_logger()
        log.debug("too.fine")
        log.info("unit.done", unit="wallets:1", rows=7)
        log.info("run.started", wallets=3)
        log.warning("unit.retry", error="503 — später")
        logging.getLogger("aiohttp").warning("library %s", "speaks")
    told = lines(file)
    assert [event["event"] for event in told] == [
        "unit.done",
        "run.started",
        "unit.retry",
        "library.message",
    ]
    assert told[0] | {"timestamp": ""} == {
        "event": "unit.done",
        "unit": "wallets:1",
        "rows": 7,
        "level": "info",
        "timestamp": "",
    }
    assert told[3]["text"] == "library speaks"
    shown = capsys.readouterr().err
    assert "unit.done" not in shown
    assert all(name in shown for name in ("run.started", "später", "library speaks"))


def test_under_systemd_the_journal_gets_the_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    with logs.configured(level="info", file=None):
        structlog.get_logger().info("unit.done", rows=7)
    assert json.loads(capsys.readouterr().err)["rows"] == 7


def test_an_exception_is_kept_with_its_traceback(tmp_path: Path) -> None:
    with logs.configured(level="info", file=tmp_path / "x.jsonl"):
        try:
            _ = {}["lost"]
        except KeyError:
            structlog.get_logger().exception("unit.broken")
    assert "KeyError: 'lost'" in lines(tmp_path / "x.jsonl")[0]["exception"]


def test_a_night_of_warnings_fills_two_files_and_no_more(tmp_path: Path) -> None:
    file = logs.LogFile(tmp_path / "main.jsonl", limit_bytes=1_000)
    for number in range(500):
        file.write(b'{"event":"unit.retry","number":%d}\n' % number)
    file.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["main.jsonl", "main.jsonl.1"]
    assert all((tmp_path / name).stat().st_size < 1_100 for name in kept)
    numbers = [event["number"] for name in reversed(kept) for event in lines(tmp_path / name)]
    assert numbers == list(range(numbers[0], 500))


def test_a_full_disk_is_told_once_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with logs.configured(level="info", file=Path("/dev/full")):
        for _ in range(3):
            structlog.get_logger().info("unit.done")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_terminal_that_went_away_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def write(self, _text: str) -> None:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stderr", Gone())
    with logs.configured(level="info", file=tmp_path / "x.jsonl"):
        structlog.get_logger().error("unit.failed")
    assert len(lines(tmp_path / "x.jsonl")) == 1


def test_a_log_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(errors.Stop, match="BACKFILL_LOG_FILE") as caught,
        logs.configured(level="info", file=tmp_path),
    ):
        raise AssertionError
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == errors.EXIT_CONFIG
