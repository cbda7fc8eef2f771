"""A disk whose power can be cut: an ext4 file system on a loop device.

What the disk holds at a moment is the image file of the loop device. What the kernel still keeps in
memory is not in it, exactly as after a power cut. The journal is committed by nothing but an fsync,
so that the tests see the worst a file system may do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_IMAGE_MB = 600
_COPIES = 20
_UMOUNT_S = 20.0
# fs/ext4/ext4.h of Linux, read 2026-11
_EXT4_IOC_SHUTDOWN, _LOG_FLUSHED = 0x8004587D, 1


class Disk:
    """An image file, its mount point, and the moment at which the power goes."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "disk.img"
        self._after = folder / "after.img"
        self.mount = folder / "disk"

    def make(self) -> None:
        """An empty file system, mounted. Raises OSError or CalledProcessError where it cannot."""
        self.mount.mkdir()
        with self._image.open("wb") as image:
            image.truncate(_IMAGE_MB << 20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self.attach()

    def cut(self, pids: Iterable[int]) -> None:
        """The power goes while these processes work; the disk is there again, they are not."""
        alive = [pid for pid in pids if _signal(pid, signal.SIGSTOP)]
        # The kernel may be writing: what two copies agree about is one moment.
        for _ in range(_COPIES):
            _copy(self._image, self._after)
            if _run("cmp", "-s", str(self._image), str(self._after), check=False) == 0:
                break
        else:
            raise AssertionError("the disk never stood still")
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        self.detach()
        self._after.replace(self._image)
        self.attach()

    def keep(self, name: str) -> Path:
        """A copy of all that was written, down to the disk; for `put_back`."""
        _run("sync", "--file-system", str(self.mount))  # of this disk alone: others may be busy
        kept = self._image.with_name(name)
        _copy(self._image, kept)
        return kept

    def put_back(self, kept: Path) -> None:
        """The disk as it was when `keep` copied it."""
        self.detach()
        _copy(kept, self._image)
        self.attach()

    def detach(self) -> None:
        """Unmount, once the last process that uses it has gone."""
        deadline = time.monotonic() + _UMOUNT_S
        while os.path.ismount(self.mount):
            if _run("umount", str(self.mount), check=False):
                assert time.monotonic() < deadline, f"{self.mount} is in use"
                time.sleep(0.1)

    def fail(self) -> None:
        """Every access is answered with EIO from now on, until it is detached and attached."""
        folder = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _EXT4_IOC_SHUTDOWN, struct.pack("I", _LOG_FLUSHED))
        finally:
            os.close(folder)

    def attach(self) -> None:
        """Mount it."""
        # `commit`: seconds after which the journal is written by itself, 5 where nobody says more.
        _run("mount", "-o", "loop,noatime,commit=900", str(self._image), str(self.mount))


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Disk | None]:
    """A mounted disk; None where this user or this system cannot mount one."""
    made = Disk(folder)
    try:
        made.make()
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield made
    finally:
        made.detach()


def _run(*command: str, check: bool = True) -> int:
    return subprocess.run(command, check=check, capture_output=True).returncode


def _copy(source: Path, target: Path) -> None:
    _run("cp", "--sparse=always", str(source), str(target))


def _signal(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def available() -> str:
    """Why no disk can be cut here; empty when it may be tried."""
    if os.geteuid() != 0:
        return "only root may mount a loop device"
    missing = [tool for tool in ("mkfs.ext4", "losetup", "mount", "cmp") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)}" if missing else ""
