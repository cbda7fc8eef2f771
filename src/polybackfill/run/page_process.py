"""The page beside a run, in a process of its own: what it reads and draws costs the run nothing."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator

# Flags by which the page finds the same run.
_PASSED_ON = ("config", "data_dir", "checkpoint_dir", "run_name")
_END_S = 5.0


@contextlib.contextmanager
def show_page(arguments: argparse.Namespace) -> Iterator[None]:
    """Serve `polybackfill ui` while the block lasts. `arguments`: of the run.

    The page ends when its input does, so also with a run that is killed; Ctrl-C is the run's.
    """
    command = [sys.executable, "-m", "polybackfill", "ui", "--end-with-input"]
    for name in _PASSED_ON:
        if (value := getattr(arguments, name, None)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:  # noqa: S603
        try:
            yield
        finally:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()
