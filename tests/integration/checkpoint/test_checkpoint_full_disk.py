"""The checkpoint on a file system that is really full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FULL_TMPFS = """
import asyncio, sys
from pathlib import Path
from polybackfill import errors
from polybackfill import units
from polybackfill.checkpoint import run_checkpoint

async def fill(folder):
    book = run_checkpoint.Checkpoint.open(folder, fold_lines=500)
    durable = 0
    try:
        for number in range(100_000):
            unit = units.Unit("wallets", (f"{number:040x}",))
            book.finish(unit.id, book.begin(unit))
            if number % 50 == 49:
                await book.sync()
                durable = number + 1
    except errors.Stop as stop:
        print(stop)
        book.close()
    book = run_checkpoint.Checkpoint.open(folder)
    done = sum(book.is_done("wallets", f"{number:040x}") for number in range(100_000))
    print(durable, done)
    book.close()

asyncio.run(fill(Path(sys.argv[1])))
"""


def test_a_file_system_that_really_fills_up(tmp_path: Path) -> None:
    """In a mount namespace of its own with 600 kB; where that is not allowed, a file limit."""
    inside = f"mount -t tmpfs -o size=600k tmpfs {tmp_path} && exec {sys.executable} - {tmp_path}"
    limited = f"ulimit -f 400; trap '' XFSZ; exec {sys.executable} - {tmp_path}"
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    command = ["unshare", "-m", "sh", "-c", inside] if probe.returncode == 0 else []
    ended = subprocess.run(
        command or ["sh", "-c", limited],
        input=FULL_TMPFS,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    message, counts = ended.stdout.strip().splitlines()
    durable, found = map(int, counts.split())
    assert "make room" in message
    assert durable > 500
    assert durable <= found <= durable + 50  # a line may be down before the fold behind it fails
