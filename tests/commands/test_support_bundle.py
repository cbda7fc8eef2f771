"""One archive for a bug report: everything that helps, nobody's name, no secret."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

from .conftest import NewDesk

PASSWORD, LOGIN, KEY = "PwPlanted77", "S3cr3tPlanted", "k3yPlanted"
PARTS = {
    "README.txt",
    "version.json",
    "settings.json",
    "doctor.json",
    "probe.json",
    "status.json",
    "checkpoint.json",
    "log.jsonl",
    "store-log.txt",
    "quarantine.jsonl",
}


def opened(archive: Path) -> dict[str, str]:
    """The files of an archive by name, without its folder."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        held = {member.name.partition("/")[2]: tar.extractfile(member) for member in members}
        return {name: file.read().decode() for name, file in held.items() if file is not None}


def bundled(desk: desks.Desk, *words: str) -> tuple[dict[str, str], harness.Finished]:
    archive = desk.folder / "bundle.tar.gz"
    ended = desk.call("support-bundle", "--output", archive, "--yes", *words)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    return opened(archive), ended


def people(sandbox: harness.Sandbox) -> set[str]:
    """Names, pseudonyms and pictures of whoever traded lately."""
    names = ("name", "pseudonym", "bio", "profile_image")
    rows = harness.ask(f"{sandbox.url}/v2/trades?limit=1000&taker_only=false")["data"]
    return {row[name] for row in rows for name in names if len(row[name]) >= 5}


def assert_nobody(files: dict[str, str], sandbox: harness.Sandbox) -> None:
    """No wallet in any form, no person, no secret, in any file."""
    for name, text in files.items():
        lower = text.lower()
        found = [wallet for wallet in sandbox.wallets if wallet.removeprefix("0x").lower() in lower]
        assert found == [], f"{name} holds {len(found)} wallets"
        assert [one for one in people(sandbox) if one in text] == [], f"{name} names people"
        assert [secret for secret in (PASSWORD, LOGIN, KEY) if secret in text] == [], name


def test_nobody_and_no_secret(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    url = sandbox.url.replace("http://", f"http://alice:{LOGIN}@")
    desk = new_desk(data_url=f"{url}/data", gamma_url=f"{sandbox.url}/gamma?key={KEY}")
    desk.move_out()
    failing = sandbox.wallets[1]
    sandbox.faults(
        {"kind": "400", "route": "activity", "match": failing},
        {"kind": "bad_row", "route": "activity", "probability": 0.5},
    )
    desk.set(log_level="debug", max_attempts=2, page_attempts=2)
    keys = desk.file("wallets.txt", sandbox.wallets[:20])
    desk.call("run", "wallets", "--wallet", keys, code=errors.EXIT_UNITS_IN_ERROR)
    desk.environment["BACKFILL_TOKEN_OF_SOMEBODY"] = PASSWORD
    files, ended = bundled(desk)
    assert set(files) >= PARTS
    assert_nobody(files, sandbox)
    store_password = desk.environment.get("CLICKHOUSE_PASSWORD") or PASSWORD
    assert [name for name, text in files.items() if store_password in text] == []
    # It is of use all the same.
    checkpoint = json.loads(files["checkpoint.json"])
    assert checkpoint["in_error"] == {"wallets": 1}
    assert "answered 400" in checkpoint["last_errors"][0]["error"]
    (reply,) = (json.loads(text) for name, text in files.items() if name.startswith("replies/"))
    assert "answered 400" in reply["now"]
    assert len(json.loads(files["probe.json"])["assumptions"]) > 80
    assert files["quarantine.jsonl"].count("\n") > 0
    assert "unit" in files["log.jsonl"]
    assert json.loads(files["status.json"])["picture"]["parts"]
    # What goes in was shown.
    for name in files:
        assert name in ended.out
    assert "replaced by other names:" in ended.out


def test_the_raw_reply_of_a_unit_that_fails(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(max_attempts=1, page_attempts=1)
    desk.move_out()
    sandbox.faults({"kind": "rows_reversed", "route": "activity"})
    desk.call("run", "--wallet", sandbox.wallets[0], code=errors.EXIT_UNITS_IN_ERROR)
    files, _ = bundled(desk)
    (reply,) = (json.loads(text) for name, text in files.items() if name.startswith("replies/"))
    assert "out of order" in reply["now"]
    assert len(reply["body"]["data"]) > 10
    assert reply["body"]["data"][0]["proxy_wallet"].startswith("0xface")
    assert_nobody(files, sandbox)


def test_before_anything_was_made(bare_ground: harness.Ground, sandbox: harness.Sandbox) -> None:
    ended = bare_ground.run("support-bundle", "--yes")
    ended.expect(0)
    (archive,) = (bare_ground.data / "support").iterdir()
    files = opened(archive)
    assert set(files) >= PARTS
    assert "there is no store" in files["quarantine.jsonl"]
    assert "there is no log" in files["log.jsonl"]
    assert not bare_ground.store.exists(), "looking makes no store"
    assert_nobody(files, sandbox)


def test_what_is_damaged_says_so(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    desk.move_out()
    desk.call("run", "--wallet", sandbox.wallets[0])
    for file in desk.checkpoint.glob("*.json*"):
        file.write_bytes(b"\x00\xff not what it was")
    (desk.data / "status" / f"{desk.run_name}.json").write_bytes(b"{")
    (desk.data / "log" / f"{desk.run_name}.jsonl").write_bytes(b"\xff\xfe\x00broken\n{\n")
    (desk.data / "log" / f"{desk.run_name}.jsonl.1").write_text('{"event": "older"}\n')
    sandbox.faults({"kind": "503", "retry_after_s": 0})
    files, _ = bundled(desk)
    assert set(files) >= PARTS
    assert "could_not_be_made" in files["status.json"]
    assert "could_not_be_made" in files["checkpoint.json"]
    assert files["log.jsonl"].startswith('{"event": "older"}\n')
    assert "broken" in files["log.jsonl"]
    assert "unknown" in files["probe.json"]


def test_beside_a_run(new_desk: NewDesk, sandbox: harness.Sandbox) -> None:
    desk = new_desk(request_deadline_s=60)
    desk.move_out()
    sandbox.faults({"kind": "hang", "route": "activity"})
    daemon = desk.start("run", "--wallet", sandbox.wallets[0])
    harness.until(lambda: sandbox.fired()["hang"], "the run at work")
    asked = sandbox.requests()
    files, _ = bundled(desk)
    assert "the limits of this address" in files["probe.json"]
    assert f"process {daemon.pid}" in files["status.json"]
    assert sandbox.requests() == asked, "its limits are its own"
    assert_nobody(files, sandbox)
    daemon.kill()


def test_nobody_can_be_asked(desk: desks.Desk) -> None:
    archive = desk.folder / "asked.tar.gz"
    ended = desk.call("support-bundle", "--output", archive, "--offline", code=errors.EXIT_CONFIG)
    assert "add --yes" in ended.err
    assert "settings.json" in ended.out, "what would go in is shown"
    assert not archive.exists()


@pytest.mark.parametrize("folder", ["nowhere/bundle.tar.gz", "."])
def test_an_output_that_cannot_be(folder: str, desk: desks.Desk) -> None:
    ended = desk.call("support-bundle", "--output", folder, "--yes", code=errors.EXIT_CONFIG)
    assert f"--output {folder}" in ended.err


@pytest.mark.parametrize(("answer", "written"), [("", False), ("y", True)])
def test_a_person_is_asked(answer: str, written: bool, desk: desks.Desk) -> None:
    archive = desk.folder / f"{answer or 'enter'}.tar.gz"
    said = on_terminal(desk, answer, "support-bundle", "--offline", "--output", str(archive))
    assert "settings.json" in said
    assert "nothing was written" in said or written
    assert archive.exists() is written


def on_terminal(desk: desks.Desk, answer: str, *words: str) -> str:
    """What a command says on a terminal where somebody types an answer."""
    ours, theirs = pty.openpty()
    command: Any = [*harness.COMMAND, *words]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, env=desk.environment, text=True
    ) as process:
        os.write(ours, f"{answer}\n".encode())
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    return str(out)
