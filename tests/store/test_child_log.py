"""The log of the store's child is exchanged under the descriptor that the engine writes to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import harness

LIMIT = 10_000
TALKER = """
import os, sys
from pathlib import Path
from chdb_http import child_log
path = Path(sys.argv[1])
for number in range(2000):
    os.write(1 + number % 2, b"%d\\n" % number)  # as the engine does, past Python's streams
    child_log.rotate(path, 1000, 100)
"""


def test_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.log"
    with path.open("ab") as log:
        subprocess.run(
            [sys.executable, "-c", TALKER, str(path)],
            stdout=log,
            stderr=log,
            check=True,
            timeout=60,
        )
    older = sorted(tmp_path.glob("store.log.*"), key=lambda one: -int(one.suffix[1:]))
    assert len(older) > 5
    said = "".join(one.read_text() for one in (*older, path))
    assert [int(line) for line in said.split()] == list(range(2000))


def test_another_programs_output_is_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "store.log", tmp_path / "other"
    path.write_text("")
    with other.open("ab") as log:
        subprocess.run(
            [sys.executable, "-c", TALKER, str(path)],
            stdout=log,
            stderr=log,
            check=True,
            timeout=60,
        )
    assert len(other.read_text().split()) == 2000
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "store.log"]


def test_both_logs_of_a_run_keep_to_the_settings(
    bare_ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    bare_ground.store.mkdir(parents=True)
    (bare_ground.store / "store.log").write_text("an old line\n" * LIMIT)
    bare_ground.set(log_bytes=LIMIT, log_files=3, progress_every=1)
    for _ in range(2):
        bare_ground.run("run", *bare_ground.write_keys(sandbox)).expect(0)
        bare_ground.run("plan", "reset", "--all").expect(0)
    log = bare_ground.data / "log"
    assert sorted(one.name for one in log.iterdir()) == [
        *("main.jsonl", "main.jsonl.1", "main.jsonl.2"),
    ]
    assert all(one.stat().st_size <= LIMIT for one in log.iterdir())
    assert (bare_ground.store / "store.log.1").exists()
    assert (bare_ground.store / "store.log").stat().st_size < LIMIT
