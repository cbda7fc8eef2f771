"""Room on the disks of data and checkpoint: looked at before a run, and while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from polybackfill import errors, formats, settings

log = structlog.get_logger()

_LOOK_S = 5.0
# What lies beside the store (checkpoint, logs, reports) is a hundredth of it, or less.
_SMALL_PART = 10


@dataclass(frozen=True)
class Disk:
    """Where something is kept. `bound`: a run stops before less than that is free, in bytes."""

    name: str
    folder: Path
    bound: int

    @property
    def free(self) -> int:
        """Bytes that this user may still write. Raises OSError."""
        return shutil.disk_usage(_existing(self.folder)).free

    def shortage(self) -> errors.Stop | None:
        """Why a run must stop here; None when there is room, or nobody can tell."""
        with contextlib.suppress(OSError):  # whoever writes there meets it, and says it better
            if (free := self.free) < self.bound:
                return errors.Stop(
                    f"the disk of the {self.name}, {self.folder}, has {formats.size(free)} free, "
                    f"less than {formats.size(self.bound)} (BACKFILL_MIN_FREE_BYTES): make room "
                    "there and start again; nothing acknowledged is lost",
                    exit_code=errors.EXIT_UNAVAILABLE,
                )
        return None


class Watch:
    """Looks at the disks while a run goes on. `shortage`: why it had to stop, if it had to."""

    def __init__(self, chosen: settings.Settings) -> None:
        self._disks = disks(chosen)
        self.shortage: errors.Stop | None = None

    @contextlib.asynccontextmanager
    async def stopping(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Set `stop` when a disk is about to be full, for as long as this lasts."""
        looking = asyncio.create_task(self._look(stop), name="disk space")
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self, stop: asyncio.Event) -> None:
        while self.shortage is None:
            await asyncio.sleep(_LOOK_S)
            shortages = await asyncio.gather(
                *(asyncio.to_thread(one.shortage) for one in self._disks)
            )
            self.shortage = next(filter(None, shortages), None)
        log.warning("run.disk_nearly_full", error=str(self.shortage))
        stop.set()


def disks(chosen: settings.Settings) -> tuple[Disk, Disk]:
    """Those of the data and of the checkpoint."""
    backfill, embedded = chosen.backfill, chosen.clickhouse.host is None
    bound, small = backfill.min_free_bytes, backfill.min_free_bytes // _SMALL_PART
    return (
        Disk("data", backfill.data_dir.absolute(), bound if embedded else small),
        Disk("checkpoint", backfill.checkpoint_dir.absolute(), small),
    )


def require(chosen: settings.Settings) -> None:
    """Raise errors.Stop (75) when a run would have to stop at once."""
    for disk in disks(chosen):
        if shortage := disk.shortage():
            raise shortage


def describe_free(chosen: settings.Settings) -> str:
    """What is free, for people. Raises errors.Stop (75) when it is too little."""
    require(chosen)
    free = (f"{disk.name} {formats.size(disk.free)} in {disk.folder}" for disk in disks(chosen))
    return f"free: {', '.join(free)}"


def warning(chosen: settings.Settings, expected_bytes: int) -> str:
    """What to say when the embedded store will not hold what is expected; else empty."""
    disk = disks(chosen)[0]
    if chosen.clickhouse.host is not None:
        return ""
    with contextlib.suppress(OSError):
        if (free := disk.free) - disk.bound < expected_bytes:
            return (
                f"about {formats.size(expected_bytes)} are expected and {formats.size(free)} are "
                f"free in {disk.folder}: a run stops cleanly (exit 75) when "
                f"{formats.size(disk.bound)} are left; BACKFILL_DATA_DIR may name a larger disk, "
                "and a planned list fetches less"
            )
    return ""


def _existing(folder: Path) -> Path:
    """The folder, or what there is of the way to it."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)
