"""What is logged arrives where it should, and never ends a run."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from polybackfill import errors
from polybackfill.reports import logs


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


def _write(file: logs.LogFile, numbers: range) -> None:
    for number in numbers:
        file.write(b'{"event":"unit.retry","number":%d}\n' % number)


def test_a_night_of_warnings_fills_so_many_files_and_no_more(tmp_path: Path) -> None:
    file = logs.LogFile(tmp_path / "main.jsonl", limit_bytes=1_000, files=3)
    _write(file, range(500))
    file.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["main.jsonl", "main.jsonl.1", "main.jsonl.2"]
    assert all((tmp_path / name).stat().st_size <= 1_000 for name in kept)
    numbers = _rotated(tmp_path)
    assert numbers == list(range(numbers[0], 500))
    fewer = logs.LogFile(tmp_path / "main.jsonl", limit_bytes=1_000, files=1)
    _write(fewer, range(500, 600))
    fewer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["main.jsonl"]


def _rotated(folder: Path) -> list[int]:
    return [
        event["number"]
        for name in ("main.jsonl.2", "main.jsonl.1", "main.jsonl")
        for event in lines(folder / name)
    ]


def test_a_rotation_loses_no_line_also_where_it_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = logs.LogFile(tmp_path / "main.jsonl", limit_bytes=1_000, files=100)
    _write(file, range(100))
    with monkeypatch.context() as broken:

        def refuse(*_words: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        broken.setattr(logs.log_rotation, "begin_anew", refuse)
        _write(file, range(100, 200))
    _write(file, range(200, 300))
    file.close()
    names = [f"main.jsonl.{number}" for number in range(99, 0, -1)] + ["main.jsonl"]
    found = [
        line for name in names if (tmp_path / name).exists() for line in lines(tmp_path / name)
    ]
    assert [event["number"] for event in found] == list(range(300))
    assert capsys.readouterr().err.count("Too many open files") == 1


def test_a_disk_that_is_full_for_a_while_spoils_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was cut off is taken back, and how many lines are missing is told."""
    file = logs.LogFile(tmp_path / "main.jsonl", limit_bytes=10_000, files=2)
    _write(file, range(3))
    with monkeypatch.context() as full:

        def cut_off(descriptor: int, content: bytes) -> None:
            os.write(descriptor, content[:9])
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(logs.disk, "write_whole", cut_off)
        _write(file, range(3, 7))
    _write(file, range(7, 9))
    file.close()
    told = lines(tmp_path / "main.jsonl")
    assert [event.get("number") for event in told] == [0, 1, 2, None, 7, 8]
    assert told[3]["event"] == "log.lines_lost"
    assert told[3]["lines"] == 4


def test_what_is_no_file_is_never_rotated() -> None:
    file = logs.LogFile(Path("/dev/null"), limit_bytes=1, files=2)
    _write(file, range(3))
    file.close()
    assert not Path("/dev/null.1").exists()


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
