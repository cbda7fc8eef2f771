"""A checkpoint that is torn heals; one that cannot be used is named, with the remedy."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import harness

from chdb_http import child_process
from polybackfill import errors


@pytest.fixture(scope="module")
def killed(
    shared_sandbox: harness.Sandbox,
    prepared: harness.PreparedStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folders of a run that was killed in the middle."""
    sandbox, folder = shared_sandbox, tmp_path_factory.mktemp("killed")
    sandbox.reset()
    sandbox.faults({"kind": "429_json", "route": "data", "after": 40, "retry_after_s": 30})
    with harness.ground(folder, sandbox.url, prepared=prepared) as ground:
        daemon = ground.start("run", *ground.write_keys(sandbox))
        harness.until(lambda: sandbox.fired()["429_json"] > 0, "the middle of the run")
        harness.until(lambda: ground.acknowledged_pages() > 20, "pages in the checkpoint")
        daemon.kill()
        sandbox.reset()
        assert asyncio.run(child_process.wait_until_ended(ground.store))
    return folder


@pytest.fixture
def half_done(killed: Path, sandbox: harness.Sandbox, tmp_path: Path) -> Iterator[harness.Ground]:
    """The same folders for each test."""
    for name in ("data", "checkpoints"):
        shutil.copytree(killed / name, tmp_path / name, symlinks=True)
    with harness.ground(tmp_path, sandbox.url) as made:
        yield made


def _completes(ground: harness.Ground, sandbox: harness.Sandbox) -> harness.Finished:
    ended = ground.run("run", *ground.write_keys(sandbox))
    ended.expect(0)
    ground.prove(sandbox)
    return ended


def _truncate(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-25])


def _lose_the_last_lines(journal: Path) -> None:
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-5]))


@pytest.mark.parametrize("harm", [_truncate, _lose_the_last_lines])
def test_a_truncated_journal_heals(
    harm: Callable[[Path], None], half_done: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Seed 001, supervisor: a torn checkpoint is survived."""
    harm(half_done.checkpoint / "ledger.jsonl")
    ended = _completes(half_done, sandbox)
    assert "finished after" in ended.out
    assert half_done.open_units() == 0


def test_a_torn_line_is_kept_aside(half_done: harness.Ground, sandbox: harness.Sandbox) -> None:
    with (half_done.checkpoint / "ledger.jsonl").open("ab") as journal:
        journal.write(b'{"event":"adva')
    _completes(half_done, sandbox)
    [aside] = half_done.checkpoint.glob("torn-after-*")
    assert aside.read_bytes() == b'{"event":"adva'


def test_a_lost_checkpoint_costs_time_and_no_row(
    half_done: harness.Ground, sandbox: harness.Sandbox
) -> None:
    half_done.checkpoints.rename(half_done.folder / "lost")
    stored = half_done.state()["trades"]["rows"]
    _completes(half_done, sandbox)
    state = half_done.state()
    assert state["trades"]["rows"] > stored > 0
    assert state["duplicates"]["rows"] == 0


def _damage_a_line(journal: Path) -> str:
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"seq":', b'"sqe":')
    journal.write_bytes(b"".join(lines))
    return r"ledger\.jsonl line 5 is damaged; restore the folder from a backup, or move it away"


def _replace_by_another_file(journal: Path) -> str:
    journal.write_text('{"name": "shopping list"}\nmilk\n')
    return "was not written by polybackfill; choose another checkpoint folder"


def _make_newer(journal: Path) -> str:
    first, *rest = journal.read_bytes().splitlines(keepends=True)
    header = json.loads(first) | {"version": 99}
    del header["crc"]
    payload = json.dumps(header, separators=(",", ":")).encode()
    line = b'%s,"crc":"%08x"}\n' % (payload[:-1], zlib.crc32(payload))
    journal.write_bytes(b"".join([line, *rest]))
    return "has schema version 99, this program reads up to 1; start the newer polybackfill"


def test_a_checkpoint_that_cannot_be_used_is_named_and_left_alone(
    half_done: harness.Ground, sandbox: harness.Sandbox
) -> None:
    journal = half_done.checkpoint / "ledger.jsonl"
    sound = journal.read_bytes()
    for harm in (_damage_a_line, _replace_by_another_file, _make_newer):
        text = harm(journal)
        harmed = journal.read_bytes()
        refused = half_done.run("run", *half_done.write_keys(sandbox))
        refused.expect(errors.EXIT_CONFIG)
        assert str(journal) in refused.err
        assert re.search(text, " ".join(refused.err.split())), refused.err
        assert journal.read_bytes() == harmed
        journal.write_bytes(sound)
    _completes(half_done, sandbox)
