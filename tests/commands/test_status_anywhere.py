"""`status` says the same to everybody who may read the folder, wherever it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import harness

AS_NOBODY = Path(__file__).with_name("status_as_nobody.py")


@pytest.fixture
def place(sandbox: harness.Sandbox) -> Iterator[harness.Ground]:
    """A folder that anybody may read, with a run whose folders were given relative to it."""
    with tempfile.TemporaryDirectory(prefix="anywhere-") as folder:
        Path(folder).chmod(0o755)
        with harness.ground(
            Path(folder), sandbox.url, data_dir="data", checkpoint_dir="checkpoints"
        ) as made:
            yield made


def told(place: harness.Ground, *program: str, cwd: str = "/") -> dict[str, Any]:
    """What `status --json` and `status` say there, which knows the data folder alone."""
    environment = {name: os.environ[name] for name in ("PATH",)}
    words = [*program, "status", "--data-dir", str(place.data)]
    texts = [
        subprocess.run(
            [*words, *more], cwd=cwd, env=environment, capture_output=True, text=True, check=True
        ).stdout
        for more in (["--json"], [])
    ]
    found: dict[str, Any] = json.loads(texts[0])
    assert texts[1].splitlines()[0].split(":")[0].split(";")[0] in found["said"]
    return found


def test_the_state_from_anywhere(place: harness.Ground, sandbox: harness.Sandbox) -> None:
    sandbox.faults({"kind": "429_json", "route": "data", "after": 10, "retry_after_s": 60})
    daemon = place.start("run", "wallets", *place.write_keys(sandbox)[:2])
    ways = [harness.COMMAND]
    if os.geteuid() == 0:
        ways.append((sys.executable, str(AS_NOBODY)))
    file = place.data / "status" / "main.json"
    harness.until(file.is_file, "the first picture")
    picture = json.loads(file.read_bytes())
    assert picture["paths"] == {
        "data": str(place.data),
        "checkpoint": str(place.checkpoint),
    }
    for way in ways:
        found = told(place, *way)
        assert (found["running"], found["state"], found["pid"]) == (True, "running", daemon.pid)
        assert found["said"].startswith(f"running: process {daemon.pid} on ")
    daemon.signal(signal.SIGTERM)
    daemon.end().expect(0)
    for way in ways:
        assert told(place, *way)["state"] == "stopped"
    sandbox.reset()
    place.run("run", "wallets", "--limit", "1", *place.write_keys(sandbox)[:2]).expect(0)
    for way in ways:
        found = told(place, *way, cwd=str(place.folder))
        assert (found["running"], found["state"]) == (False, "finished")


@pytest.mark.long
def test_a_crashed_run_from_anywhere(place: harness.Ground, sandbox: harness.Sandbox) -> None:
    sandbox.faults({"kind": "429_json", "route": "data", "after": 10, "retry_after_s": 60})
    daemon = place.start("run", "wallets", *place.write_keys(sandbox)[:2])
    harness.until((place.data / "status" / "main.json").is_file, "the first picture")
    daemon.kill()
    for way in (harness.COMMAND, (sys.executable, str(AS_NOBODY))):
        if os.geteuid() == 0 or way == harness.COMMAND:
            found = told(place, *way)
            assert (found["running"], found["state"]) == (False, "crashed")
    sandbox.reset()
