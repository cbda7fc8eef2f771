"""A reader that goes away (`| head`) changes neither the exit code nor what is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import harness

from polybackfill import errors


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("status",), ("run", "--dry-run")])
def test_nobody_reads_the_answer(
    words: tuple[str, ...], unbuffered: str, tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    bad = sandbox.wallets[-1]
    sandbox.faults({"kind": "400", "match": bad.removeprefix("0x")})
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    environment["BACKFILL_DATA_URL"] = f"{sandbox.url}/data"
    more = ("--wallet", bad) if words[0] == "run" else ()
    with subprocess.Popen(
        [sys.executable, "-m", "polybackfill", *words, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "BrokenPipe" not in said
    expected = errors.EXIT_UNITS_IN_ERROR if more else errors.EXIT_OK
    assert process.returncode == expected, said
