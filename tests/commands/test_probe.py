"""The probe as its user meets it: in `doctor`, and before a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors, settings
from polybackfill.probe import assumption_list
from polybackfill.probe.assumption import Finding, Outcome
from polybackfill.reports import probe_report
from polybackfill.run import preflight, run_request

from .conftest import NewDesk

REVERSED = {"kind": "rows_reversed", "route": "trades"}
_DAY_S = 86_400


def _events(desk: desks.Desk, name: str) -> list[dict[str, Any]]:
    """The events of that name in the log of the desk's runs."""
    file = desk.data / "log" / f"{desk.run_name}.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == name]


def test_doctor_looks_at_every_assumption(desk: desks.Desk) -> None:
    desk.call("init")
    told = desk.json("doctor", "--probe")["probe"]
    names = [one.name for one in assumption_list.ASSUMPTIONS]
    assert [one["name"] for one in told["assumptions"]] == names
    assert {one["verdict"] for one in told["assumptions"]} == {"holds"}
    assert told["requests"] < 60
    assert told["held_back"] == []
    for one in told["assumptions"]:
        assert all(one[name] for name in ("seen", "requests", "request", "expected"))


def test_doctor_names_what_is_broken(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    """What could lose rows, with the kinds it stops, and what only costs time."""
    desk.call("init")
    sandbox.faults(REVERSED, {"kind": "clamped", "route": "events", "limit": 10})
    said = desk.call("doctor", "--probe", code=errors.EXIT_UNITS_IN_ERROR).out
    for one in assumption_list.ASSUMPTIONS:
        assert f"{one.name}\n" in said
        assert one.expected in said
        assert one.needed_for in said
    assert "BROKEN  trades.order\n" in said
    assert "out of order" in said
    assert "stops: conditions" in said
    assert "BROKEN  events.page_size\n" in said
    assert "stops: nothing" in said
    assert said.splitlines()[-1] == "a run does not fetch: conditions, recent-trades"


def test_what_only_costs_time_is_in_order(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(probe="always")
    desk.call("init")
    sandbox.faults({"kind": "clamped", "route": "activity", "limit": 500})
    ended = desk.call("run", "--wallet", sandbox.wallets[0])
    assert "warning: activity.page_size: expected pages have the requested length" in ended.err
    assert "it costs time or a figure only" in ended.err
    assert "held back" not in ended.out


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_fits_the_terminal(columns: int) -> None:
    seen = [
        (one, Finding(one.name, Outcome.BROKEN, "an answer of many words " * 9, ("data /v2",)))
        for one in assumption_list.ASSUMPTIONS
    ]
    lines = "\n".join(probe_report.lines(seen, 55, 3.0, columns)).splitlines()
    words_of = {word for line in lines for word in line.split()}
    assert all(len(line) <= columns for line in lines if " " in line.strip())
    assert {"answer", "BROKEN", "trades.order"} <= words_of
    assert "kinds" not in words_of


def test_a_run_holds_back_what_could_lose_rows(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    """The other parts go on, the exit code and status say so; whole again, all of it is fetched."""
    desk = new_desk(probe="always")
    wallets, conditions = desk.folder / "wallets.txt", desk.folder / "conditions.txt"
    wallets.write_text("\n".join(sandbox.wallets[:3]))
    conditions.write_text("\n".join(sandbox.conditions[:5]))
    listed = ("run", "wallets", "conditions", "--wallet", str(wallets))
    listed += ("--condition-id", str(conditions))
    desk.call("init")
    # Activity has no assumption in common with the order of trades.
    sandbox.faults(REVERSED)
    ended = desk.call(*listed, code=errors.EXIT_UNITS_IN_ERROR)
    assert "warning: trades.order: expected newest first; seen:" in ended.err
    assert "conditions  held back: trades.order" in ended.out
    assert "wallets     3 of 3 proven complete" in ended.out
    assert "held back: trades.order" in desk.call("status").out
    assert set(desk.json("status")["held_back"]) == {"conditions"}
    assert desk.value("SELECT count() FROM external_trades_raw") > 0
    sandbox.faults()
    ended = desk.call(*listed)
    assert "conditions  5 of 5 proven complete" in ended.out
    assert "held back" not in ended.out + desk.call("status").out


def test_nothing_is_left_to_fetch(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(probe="always")
    desk.call("init")
    sandbox.faults(REVERSED)
    sandbox.ask("stats/reset", {})
    words_typed = ("run", "--condition-id", sandbox.conditions[0])
    ended = desk.call(*words_typed, code=errors.EXIT_CONFIG)
    assert "trades.order: expected newest first" in ended.err
    assert "BACKFILL_PROBE=never" in ended.err
    assert sandbox.requests() <= 60
    desk.environment["BACKFILL_PROBE"] = "never"
    sandbox.faults()
    desk.call(*words_typed)
    assert _events(desk, "probe.started")[-1]["assumptions"] > 0


def test_trouble_on_the_way_stops_no_run(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(probe="always")
    desk.call("init")
    sandbox.faults({"kind": "503", "route": "data", "count": 8, "retry_after_s": 0})
    ended = desk.call("run", "--wallet", sandbox.wallets[0])
    assert "proven complete" in ended.out
    assert "held back" not in ended.out
    assert _events(desk, "probe.unknown")


def test_a_sandbox_is_looked_at_only_when_told_to(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    desk.call("init")
    sandbox.faults(REVERSED)
    desk.call("run", "--wallet", sandbox.wallets[0])
    assert not _events(desk, "probe.started")


def test_once_a_day_where_the_api_is_elsewhere(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    # Another name of this machine, which nobody takes for it.
    elsewhere = sandbox.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    hosts = {f"{host}_url": f"{elsewhere}/{host}" for host in ("data", "gamma", "clob")}
    desk = new_desk(limits="{}", **hosts)
    desk.move_out()
    for wallet in sandbox.wallets[:2]:
        desk.call("run", "--wallet", wallet)
    assert len(_events(desk, "probe.started")) == 1
    assert len(_events(desk, "probe.ended")) == 1
    assert (desk.data / "probe.json").exists()


class TestWhatIsDue:
    """Which assumptions the next run looks at."""

    @pytest.fixture
    def chosen(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
        monkeypatch.chdir(tmp_path)
        return settings.load({"data_dir": tmp_path})

    def _due(self, chosen: settings.Settings, now: float, *parts: str) -> set[str]:
        asked = run_request.RunRequest(parts=parts or ("wallets",))
        return {one.name for one in preflight.due(chosen, asked, now)}

    def _remember(self, chosen: settings.Settings, verdicts: dict[str, Outcome]) -> None:
        findings = [Finding(name, verdict, "so") for name, verdict in verdicts.items()]
        preflight.remember(chosen, findings, 1_000_000.0)

    def test_all_of_it_at_first(self, chosen: settings.Settings) -> None:
        assert "activity.order" in self._due(chosen, 1_000_000.0)
        assert "positions.order" not in self._due(chosen, 1_000_000.0)
        assert "positions.order" in self._due(chosen, 1_000_000.0, "positions")

    def test_nothing_for_a_day(self, chosen: settings.Settings) -> None:
        self._remember(chosen, dict.fromkeys(self._due(chosen, 0.0), Outcome.HOLDS))
        assert self._due(chosen, 1_000_000.0 + _DAY_S - 1) == set()
        assert self._due(chosen, 1_000_000.0 + _DAY_S + 1)
        assert self._due(chosen, 999_999.0), "a clock that was ahead does no harm"
        assert self._due(chosen, 1_000_001.0, "positions"), "another part is another question"

    def test_what_did_not_hold(self, chosen: settings.Settings) -> None:
        names = self._due(chosen, 0.0)
        verdicts = dict.fromkeys(names, Outcome.HOLDS)
        verdicts |= {"activity.order": Outcome.BROKEN, "activity.window": Outcome.UNSEEN}
        self._remember(chosen, verdicts)
        assert self._due(chosen, 1_000_001.0) == {"activity.order", "activity.window"}

    def test_other_hosts_are_another_api(
        self, chosen: settings.Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = self._due(chosen, 0.0)
        self._remember(chosen, dict.fromkeys(names, Outcome.HOLDS))
        monkeypatch.setenv("BACKFILL_DATA_URL", "https://data.example.org")
        other = settings.load({"data_dir": chosen.backfill.data_dir})
        assert self._due(other, 1_000_001.0) == names

    @pytest.mark.parametrize("content", [b"", b"{", b'{"about": 3}', b"\xff\xfe"])
    def test_a_damaged_memory_is_none(self, chosen: settings.Settings, content: bytes) -> None:
        (chosen.backfill.data_dir / "probe.json").write_bytes(content)
        assert self._due(chosen, 1_000_000.0)

    def test_what_was_broken_is_so_until_it_is_seen_again(self, chosen: settings.Settings) -> None:
        """An outage right after a break does not let the part run."""
        self._remember(chosen, {"activity.order": Outcome.BROKEN})
        silent = [Finding("activity.order", Outcome.UNKNOWN, "503")]
        (finding,) = preflight.with_remembered(chosen, silent)
        assert finding.outcome is Outcome.BROKEN
        assert "no answer now" in finding.seen
        self._remember(chosen, {"activity.order": Outcome.HOLDS})
        assert preflight.with_remembered(chosen, silent) == silent
