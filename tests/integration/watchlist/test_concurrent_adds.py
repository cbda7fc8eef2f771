"""Several processes add to one watchlist."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import msgspec
from tests.unit.watchlist.test_watchlist_file import entry, logged

from polybackfill.watchlist import watchlist_file

ADDER = """
import json, sys
from pathlib import Path
from polybackfill.watchlist import watchlist_file

listed = watchlist_file.Watchlist(Path(sys.argv[1]))
entries = watchlist_file.msgspec.json.decode(
    sys.argv[2], type=list[watchlist_file.Entry]
)
print("ready", flush=True)
sys.stdin.read()
for first, second in zip(entries, entries[1:]):
    print(json.dumps([one.market_id for one in listed.add([first, second])]))
"""


def test_processes_that_add_at_once_never_add_twice(tmp_path: Path) -> None:
    """Seed 004, watchlist: one entry per strategy and market under concurrency."""
    asked = msgspec.json.encode([entry(number) for number in range(21)]).decode()
    command = [sys.executable, "-c", ADDER, str(tmp_path), asked]
    with contextlib.ExitStack() as stack:
        adders = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(6)
        ]
        for adder in adders:
            assert adder.stdout is not None
            assert adder.stdout.readline() == "ready\n"
        for adder in adders:
            assert adder.stdin is not None
            adder.stdin.close()  # go
        told = [adder.stdout.read() for adder in adders if adder.stdout is not None]
        assert [adder.wait(60) for adder in adders] == [0] * 6
    added = [one for text in told for line in text.splitlines() for one in json.loads(line)]
    expected = sorted(str(number) for number in range(21))
    assert sorted(added) == expected, "every market was added by exactly one process"
    listed = watchlist_file.Watchlist(tmp_path).entries()
    assert sorted(str(one.market_id) for one in listed) == expected
    assert sorted(line["market_id"] for line in logged(tmp_path)) == expected
