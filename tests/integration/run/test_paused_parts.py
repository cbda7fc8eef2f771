"""What a person has paused stays paused, whatever becomes of the file that says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest
import structlog

from polybackfill import errors, settings
from polybackfill.run import name_file, paused_parts

BROKEN = ["", "{}", "5", "null", '"wallets"', '{"wallets": 1}', "[1]", '["wallets"', "\xff"]


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    monkeypatch.setenv("BACKFILL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BACKFILL_RUN_NAME", "r")
    return settings.load()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "status" / "r.paused.json"


def test_a_pause_lasts_until_it_is_taken_back(chosen: settings.Settings, file: Path) -> None:
    page, run = paused_parts.PausedParts(chosen), paused_parts.PausedParts(chosen)
    run.read()
    assert (run.kinds, run.describe()) == (frozenset(), None)
    page.pause("wallets")
    page.pause("events")
    run.read()
    assert run.kinds == page.kinds == {"wallets", "events"}
    assert run.describe() == "a person, who has paused events, wallets"
    page.resume("events")
    run.read()
    assert run.kinds == page.kinds == {"wallets"}
    file.unlink()
    run.read()
    assert run.kinds == frozenset()


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_takes_no_pause_back(
    chosen: settings.Settings, file: Path, content: str
) -> None:
    parts = paused_parts.PausedParts(chosen)
    parts.pause("wallets")
    file.write_text(content, encoding="latin-1")
    with structlog.testing.capture_logs() as events:
        parts.read()
        parts.read()
    assert parts.kinds == {"wallets"}
    assert [event["event"] for event in events] == ["paused.unreadable"], "said once"
    for change in (parts.pause, parts.resume):
        with pytest.raises(errors.Stop, match="no list of paused parts"):
            change("events")
    assert file.read_text(encoding="latin-1") == content
    file.write_text('["events"]')
    parts.read()
    assert parts.kinds == {"events"}


def test_a_file_that_cannot_be_read_takes_no_pause_back(
    chosen: settings.Settings, file: Path
) -> None:
    parts = paused_parts.PausedParts(chosen)
    parts.pause("wallets")
    file.unlink()
    file.mkdir()
    parts.read()
    assert parts.kinds == {"wallets"}
    with pytest.raises(errors.Stop, match=r"cannot read .*r\.paused\.json"):
        parts.resume("wallets")
    assert parts.kinds == {"wallets"}


def test_pauses_at_the_same_time_all_count(chosen: settings.Settings) -> None:
    kinds = {f"kind{n}" for n in range(12)}
    pages = {kind: paused_parts.PausedParts(chosen) for kind in kinds}
    with ThreadPoolExecutor(len(kinds)) as pool:
        list(pool.map(lambda kind: pages[kind].pause(kind), kinds))
    run = paused_parts.PausedParts(chosen)
    run.read()
    assert run.kinds == kinds


def test_a_change_that_hangs_is_not_waited_for(
    chosen: settings.Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_file, "_LOCK_S", 0.05)
    parts = paused_parts.PausedParts(chosen)
    parts.pause("wallets")
    with (
        filelock.FileLock(file.with_name(f"{file.name}.lock")),
        pytest.raises(errors.Stop, match="being changed by another process"),
    ):
        parts.resume("wallets")
    assert parts.kinds == {"wallets"}
