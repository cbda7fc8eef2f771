"""`service install`, `show` and `uninstall`: what lies there afterwards, and whose it is."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from tests.commands import desk as desks
from tests.docs import service as units

from polybackfill import errors
from polybackfill.run import systemd

UNITS = "etc/systemd/system"


def _lines(unit: Path, name: str) -> list[str]:
    found = unit.read_text().splitlines()
    return [line.partition("=")[2] for line in found if line.startswith(f"{name}=")]


def test_nothing_is_installed(desk: desks.Desk) -> None:
    said = desk.call("service", "show", "--root", desk.folder / "root").out
    assert "no service is installed" in said
    assert "polybackfill service install" in said


def test_a_service_of_the_machine(desk: desks.Desk) -> None:
    root = desk.folder / "root"
    desk.environment |= {"CLICKHOUSE_PASSWORD": "open $sesame", "HTTPS_PROXY": "http://u:key@proxy"}
    said = desk.call("service", "install", "--root", root).out
    for name in ("daemon-reload", "enable --now polybackfill.service polybackfill.timer"):
        assert f"systemctl {name}" in said
    assert "journalctl -u polybackfill -f" in said
    assert "sesame" not in said
    unit, timer = (root / UNITS / f"polybackfill.{kind}" for kind in ("service", "timer"))
    assert units.complaints(unit) == ""
    assert units.complaints(timer) == ""
    (program,) = _lines(unit, "ExecStart")
    assert program == f"{Path(sys.executable).with_name('polybackfill')} run"
    assert _lines(unit, "User") == ["polybackfill"]
    # The desk names its folders in the environment, so the service keeps to them.
    assert f"BACKFILL_DATA_DIR={desk.data}" in _lines(unit, "Environment")
    environment = root / "var/lib/polybackfill/.env"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    text = environment.read_text()
    assert "CLICKHOUSE_PASSWORD='open $sesame'" in text
    assert f"BACKFILL_DATA_URL='{desk.environment['BACKFILL_DATA_URL']}'" in text
    shown = desk.call("service", "show", "--root", root).out
    assert "ExecStart=" in shown
    assert "sesame" not in shown
    assert "u:key" not in shown
    # Again with other settings: nobody has changed the file, so it is written anew.
    desk.environment["CLICKHOUSE_PASSWORD"] = "another"
    desk.call("service", "install", "--root", root)
    assert "CLICKHOUSE_PASSWORD='another'" in environment.read_text()
    removed = desk.call("service", "uninstall", "--root", root).out
    assert removed.count("removed:") == 3
    assert not list(root.rglob("*.*"))
    assert "no service was installed" in desk.call("service", "uninstall", "--root", root).out


def test_what_a_person_changed_stays(desk: desks.Desk) -> None:
    root = desk.folder / "root"
    desk.call("service", "install", "--root", root)
    environment = root / "var/lib/polybackfill/.env"
    mine = environment.read_text() + "BACKFILL_SHARE='0.5'\n"
    environment.write_text(mine)
    environment.chmod(0o644)
    desk.environment["CLICKHOUSE_PASSWORD"] = "new"
    said = desk.call("service", "install", "--root", root).out
    assert f"kept, since it is not as this command wrote it: {environment}" in said
    assert "chmod 600" in said
    assert "not in it, and set in this shell: CLICKHOUSE_PASSWORD" in said
    desk.call("service", "uninstall", "--root", root)
    assert environment.read_text() == mine
    unit = root / UNITS / "polybackfill.service"
    unit.write_text("[Service]\nExecStart=/bin/mine\n")
    for action in ("install", "uninstall"):
        refused = desk.call("service", action, "--root", root, code=errors.EXIT_CONFIG).err
        assert f"{unit} was not written by this command" in refused
    assert unit.read_text() == "[Service]\nExecStart=/bin/mine\n"


def test_a_service_of_ones_own(desk: desks.Desk) -> None:
    home = desk.folder / "my home"
    desk.environment["XDG_CONFIG_HOME"] = str(home)
    folder = desk.folder / 'all "my" 100% trades'
    for name in ("DATA", "CHECKPOINT"):
        del desk.environment[f"BACKFILL_{name}_DIR"]
    said = desk.call("service", "install", "--user", "--folder", folder).out
    assert "systemctl --user enable --now" in said
    assert "enable-linger" in said
    unit = home / "systemd/user/polybackfill.service"
    assert units.complaints(unit) == ""
    assert _lines(unit, "User") == []
    assert _lines(unit, "WantedBy") == ["default.target"]
    assert _lines(unit, "WorkingDirectory") == [str(folder).replace("%", "%%")]
    quoted = str(folder).replace("%", "%%").replace('"', '\\"')
    assert f'"BACKFILL_DATA_DIR={quoted}/data"' in _lines(unit, "Environment")
    assert (folder / ".env").is_file()
    desk.call("service", "uninstall", "--user")
    assert not unit.exists()
    assert not (folder / ".env").exists()
    assert folder.is_dir()


def test_dry_run_shows_and_writes_nothing(desk: desks.Desk) -> None:
    root = desk.folder / "root"
    desk.environment["CLICKHOUSE_PASSWORD"] = "sesame"
    said = desk.call("service", "install", "--dry-run", "--root", root).out
    assert "[Service]" in said
    assert "OnCalendar=" in said
    assert "sesame" not in said
    assert not root.exists()


def test_without_root_it_says_what_to_type(
    desk: desks.Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from polybackfill import cli  # noqa: PLC0415

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["polybackfill", "service", "install"])
    assert cli.main(["service", "install"]) == errors.EXIT_CONFIG
    said = capsys.readouterr().err
    assert "sudo polybackfill service install" in said
    assert "polybackfill service install --user" in said


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        ("/new\nline", r"'\n'"),
        ("/tab\there", r"'\t'"),
        ("/latin-\udce9", "0xe9"),
        ("/end\\", r"\\"),
    ],
)
def test_a_path_no_unit_file_can_hold_is_refused(folder: str, named: str) -> None:
    with pytest.raises(errors.Stop) as refusal:
        systemd.service_text(systemd.Service(folder=Path(folder)))
    assert refusal.value.exit_code == errors.EXIT_CONFIG
    assert named.replace("\\\\", "\\") in str(refusal.value)


def test_a_dollar_in_the_path_of_the_program_is_no_variable() -> None:
    text = systemd.service_text(systemd.Service(program=("/opt/a $HOME/polybackfill",)))
    assert 'ExecStart=:"/opt/a $HOME/polybackfill" run' in text
