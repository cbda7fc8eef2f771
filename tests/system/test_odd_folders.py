"""Any folder name the file system takes works, or is refused with the character named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors, settings

NAMES = [
    'O\'Brien "%s"\n{x:Int8} $HOME ümläut 日本 -d?#',
    "with space",
    "O'Brien",
    'quo"te',
    "per%20cent %s",
    "quest?ion&mode=ro",
    "hash#tag",
    "ümläut 日本 🏁",
    "back\\slash",
    "new\nline",
    "a;b --",
    "dollar$HOME",
    "-dash",
    "tab\tbed",
    "{curly:String}",
    "semi:colon",
    "st*r [abc]",
    " edges. ",
    "`tick`",
    "file:",
    "l" * 200,
]
INSERT = 'INSERT INTO pm_trades (fill_id, condition_id) FORMAT JSONEachRow {"fill_id":"1"}'


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


def _assert_works(ground: harness.Ground, folder: Path) -> None:
    """Everything that has to do with folders, in one that is named relatively."""
    folder.mkdir()
    ground.set(data_dir=f"./{folder.name}", checkpoint_dir=f"./{folder.name}/checkpoints")
    ground.set(log_file=f"./{folder.name}/a log.jsonl")
    ground.run("init").expect(0)
    ground.run("sql", INSERT).expect(0)
    counted = ground.run("sql", "SELECT count() FROM pm_trades", "--format", "TSV")
    assert counted.out == "1\n", counted.err
    assert (folder / "clickhouse" / "engine").is_dir()
    left = {path.name for path in ground.folder.iterdir() if path.is_dir()}
    assert left == {folder.name, harness.SAID}


@pytest.mark.parametrize("name", NAMES[:1])
def test_a_folder_of_that_name(ground: harness.Ground, name: str) -> None:
    _assert_works(ground, ground.folder / name)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_folder_of_that_name_too(ground: harness.Ground, name: str) -> None:
    _assert_works(ground, ground.folder / name)


@pytest.mark.long
def test_a_whole_run_in_the_oddest_of_them(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Lock, checkpoint, status, log, reports and the store, in a folder where all commands work."""
    folder = ground.folder / "a 'quoted' \"%s\"\n{x:Int8} $HOME 日本"
    folder.mkdir()
    ground.set(data_dir=folder / "data", checkpoint_dir=folder / "check points", reports="true")
    wallets = ",".join(sandbox.wallets[:4])
    ground.run("run", "--wallet", wallets).expect(0)
    ground.run("report", "coverage", "--output", str(folder / "a report.md")).expect(0)
    for words in (("status",), ("check", "plan"), ("check", "trades"), ("validate", "--offline")):
        ended = ground.run(*words)
        assert "Traceback" not in ended.err, ended.err
        ended.expect(0, errors.EXIT_UNITS_IN_ERROR)
    stored = {row["name"]: row["rows"] for row in ground.sql(harness.STATE)}
    assert stored["trades"] == sandbox.truth(sandbox.wallets[:4], [])["trades"]["rows"]


@pytest.mark.parametrize("setting", ["data_dir", "checkpoint_dir", "log_file"])
def test_bytes_that_are_no_text_are_refused(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also above a folder that is named relatively."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/l\xe9on"))
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(errors.Stop, match="0xe9, which is no UTF-8") as refusal:
        settings.load({setting: Path("data")})
    assert refusal.value.exit_code == errors.EXIT_CONFIG
    str(refusal.value).encode()


def test_such_bytes_on_the_command_line(ground: harness.Ground) -> None:
    command = [os.fsencode(word) for word in harness.COMMAND]
    ended = subprocess.run(
        [*command, b"init", b"--data-dir", b"l\xe9on"],
        cwd=ground.folder,
        env=ground.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == errors.EXIT_CONFIG
    assert "l\\xe9on holds the byte 0xe9" in ended.stderr
