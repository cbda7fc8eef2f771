"""What a run takes of its machine: memory, room on its disks, how old its checkpoint is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from polybackfill import settings
from polybackfill.monitoring import run_facts
from polybackfill.run import disk_space


def read_machine(
    chosen: settings.Settings, pid: int | str | None = "self"
) -> run_facts.MachineFacts:
    """The facts now. It may block: a disk far away takes its time to answer. `pid`: whose memory;
    None for nobody's.
    """
    disks = {}
    for disk in disk_space.disks(chosen):
        with contextlib.suppress(OSError):  # whoever writes there meets it, and says it better
            disks[disk.name] = run_facts.DiskFacts(disk.free, disk.bound)
    return run_facts.MachineFacts(
        memory_bytes=_memory_bytes(pid),
        checkpoint_age_s=_age_s(chosen.checkpoint_path),
        disks=disks,
    )


def _memory_bytes(pid: int | str | None) -> int | None:
    """Resident memory; None where the system does not show it as Linux does."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return None


def _age_s(folder: Path) -> float | None:
    """Seconds since a file of the checkpoint was last written; None while there is none."""
    with contextlib.suppress(OSError, ValueError):
        return round(max(0.0, time.time() - max(_written_at(folder))), 1)
    return None


def _written_at(folder: Path) -> Iterator[float]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # folded away meanwhile
                yield entry.stat().st_mtime
