"""The checkpoint in a process that is really killed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polybackfill.checkpoint import run_checkpoint

CHILD = """
import asyncio, sys
from pathlib import Path
from polybackfill import units
from polybackfill.checkpoint import run_checkpoint

async def main(folder, first):
    book = run_checkpoint.Checkpoint.open(folder, fold_lines=40, segment_units=16)
    for number in range(first, 1_000_000):
        unit = units.Unit("wallets", (f"{number:040x}",))
        if book.is_done("wallets", unit.keys[0]):
            continue
        book.finish(unit.id, book.begin(unit))
        await book.sync()
        print(number, flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.parametrize("lines", [3, 41, 100])
def test_a_real_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path, lines: int) -> None:
    acknowledged = -1
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(acknowledged + 1)],
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            for line in itertools.islice(child.stdout, lines):
                acknowledged = int(line)
            os.kill(child.pid, signal.SIGKILL)
            for line in child.stdout:
                acknowledged = int(line)
        book = run_checkpoint.Checkpoint.open(tmp_path)
        numbers = [int(receipt.unit.keys[0], 16) for receipt in book.receipts()]
        assert numbers in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
        book.close()
