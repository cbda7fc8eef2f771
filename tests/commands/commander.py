"""Runs commands in forks of a process that has imported the program: started as a script.

One JSON line in, {"words", "environment", "folder", "stem", "within_s"}; one out, the exit code
(negative: the signal that ended it). The command's streams go to `stem`.out and `stem`.err.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from polybackfill import cli

_COMMANDS = (
    "coverage",
    "dims",
    "market_ids",
    "market_ids_apply",
    "finalize_all",
    "plan",
    "progress",
    "quarantine",
    "receipts",
    "recover",
    "report",
    "run",
    "setup",
    "sql",
    "status",
    "validate",
    "watchlist",
)


def main() -> None:
    """Serve until the other side closes."""
    for name in _COMMANDS:
        importlib.import_module(f"polybackfill.commands.{name}")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: dict[str, Any]) -> None:
    signal.setitimer(signal.ITIMER_REAL, asked["within_s"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    stem = Path(asked["stem"])
    for number, suffix in ((1, ".out"), (2, ".err")):
        with stem.with_suffix(suffix).open("wb") as file:
            os.dup2(file.fileno(), number)
    try:
        code = cli.main(asked["words"])
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
