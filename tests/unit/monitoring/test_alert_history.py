"""An alert is not repeated too soon, by no process."""

from __future__ import annotations

from pathlib import Path

from polybackfill.monitoring import alert, alert_history

FAILED = alert.Alert("end", alert.Severity.CRITICAL, "failed: store", "x", repeat_s=3_600.0)
ENDED = alert.Alert("end", alert.Severity.INFO, "finished", "x")


def test_the_same_is_sent_once_in_its_time_also_by_another_process(tmp_path: Path) -> None:
    file = tmp_path / "status" / "main.alerts.json"
    first = alert_history.AlertHistory(file)
    assert first.is_due(FAILED, 1_000.0)
    first.note(FAILED, 1_000.0)
    second = alert_history.AlertHistory(file)
    for history in (first, second):
        assert not history.is_due(FAILED, 4_599.0)
        assert history.is_due(FAILED, 4_600.0)
        assert history.is_due(FAILED, 999.0), "a clock that was set back silences nobody"
    other = alert.Alert("end", alert.Severity.CRITICAL, "failed: disk", "x", repeat_s=3_600.0)
    assert second.is_due(other, 1_001.0)


def test_what_has_no_time_is_always_sent(tmp_path: Path) -> None:
    history = alert_history.AlertHistory(tmp_path / "alerts.json")
    history.note(ENDED, 1_000.0)
    assert history.is_due(ENDED, 1_000.0)


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    file = tmp_path / "alerts.json"
    for content in (b"", b"[1]", b'{"a": "b"}', b"\xff"):
        file.write_bytes(content)
        history = alert_history.AlertHistory(file)
        assert history.is_due(FAILED, 1.0)
        history.note(FAILED, 1.0)
        assert not alert_history.AlertHistory(file).is_due(FAILED, 2.0)


def test_a_folder_that_refuses_ends_nothing(
    tmp_path: Path, events: list[dict[str, object]]
) -> None:
    (tmp_path / "status").write_text("a file where the folder should be")
    history = alert_history.AlertHistory(tmp_path / "status" / "alerts.json")
    history.note(FAILED, 1.0)
    assert not history.is_due(FAILED, 2.0)
    assert [event["event"] for event in events] == ["alert.not_noted"]


def test_the_file_stays_small(tmp_path: Path) -> None:
    history = alert_history.AlertHistory(tmp_path / "alerts.json")
    for number in range(1_000):
        history.note(alert.Alert("end", alert.Severity.INFO, f"failed {number}", "x"), number)
    assert (tmp_path / "alerts.json").stat().st_size < 10_000
