"""Limits of the child's process."""

from __future__ import annotations

import contextlib
import resource


def raise_open_files() -> None:
    """As many open files as the system allows this process: the engine opens two for each column
    of each part it reads, and the usual 1,024 end within a merge."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says unlimited and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
