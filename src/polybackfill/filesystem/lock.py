"""One owner for one checkpoint folder; the system lets go of it when the owner dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import filelock
import msgspec

from polybackfill import clocks, errors
from polybackfill.filesystem import files

# An owner on its way out is waited for.
_PROBE_S = 0.3


@dataclass(frozen=True)
class LockTarget:
    """What is owned. `stem`: of its two files in the folder; `remedy`: what one may do instead."""

    stem: str
    remedy: str


CHECKPOINT = LockTarget("owner", "or give this run another --run-name")
DATA = LockTarget("run", "or wait for its end: one run at a time writes to a database")
LOCK_FILE = f"{CHECKPOINT.stem}.lock"
OWNER_FILE = f"{CHECKPOINT.stem}.json"


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who works in a folder. `started_at`: epoch seconds; `run_name`: "" for what is no run.

    What tells this process from one that got its number later: `boot`, the id of the machine's
    present start, `namespace`, in which the number counts, and `born`, the process's own start in
    the kernel's ticks. Empty where the system does not say (all but Linux).
    """

    host: str
    pid: int
    started_at: float
    boot: str = ""
    namespace: str = ""
    born: str = ""
    run_name: str = ""

    @property
    def since(self) -> str:
        """`started_at` as UTC text."""
        return datetime.fromtimestamp(self.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    def __str__(self) -> str:
        run = f", run {self.run_name}" if self.run_name else ""
        return f"process {self.pid} on {self.host} since {self.since}{run}"


@contextmanager
def hold(
    folder: Path,
    clock: clocks.Clock | None = None,
    *,
    run_name: str = "",
    target: LockTarget = CHECKPOINT,
) -> Iterator[Owner]:
    """Own the folder inside the block; it is created if absent. Blocks up to 0.3 s.

    Raises errors.Stop (exit 75) naming host, pid, start and run of the owner there already is, and
    errors.Stop (exit 78) when the folder cannot be written.
    """
    lock = _lock(folder, target)
    with files.stopping("lock", folder):
        files.make_folder(folder)
        try:
            lock.acquire(timeout=_PROBE_S, poll_interval=0.02)
        except filelock.Timeout as error:
            raise _refusal(folder, target) from error
    try:
        owner = this_process((clock or clocks.SystemClock()).now(), run_name)
        with files.stopping("write", folder / f"{target.stem}.json"):
            files.write_atomic(folder / f"{target.stem}.json", msgspec.json.encode(owner))
        yield owner
    finally:
        with suppress(OSError):  # the lock decides; the file only tells people who holds it
            (folder / f"{target.stem}.json").unlink(missing_ok=True)
        lock.release()


def this_process(started_at: float, run_name: str = "") -> Owner:
    """Who we are."""
    pid = os.getpid()
    state = _state_of(pid)
    return Owner(
        host=socket.gethostname(),
        pid=pid,
        started_at=started_at,
        boot=_boot(),
        namespace=_namespace(),
        born=state.born if state is not None else "",
        run_name=run_name,
    )


def holder(folder: Path) -> Owner | None:
    """Who owns the folder now, None when nobody does. For reading: takes no lock, needs no right to
    write, creates nothing.

    An owner whose file cannot be read has the host "unknown" and the pid 0; whether one on another
    machine lives cannot be seen, so it counts as an owner.
    """
    owner = _read_owner(folder)
    if owner.pid == 0:
        return owner if _is_locked(folder / LOCK_FILE) else None
    return owner if is_alive(owner) is not False else None


def is_alive(owner: Owner) -> bool | None:
    """Whether the process still runs; None when that cannot be seen from here: another machine, or
    a container that does not show its processes.
    """
    if owner.pid <= 0:
        return None
    if owner.boot and _boot() and owner.boot != _boot():
        return False if owner.host == socket.gethostname() else None
    if owner.namespace != _namespace() or (not owner.boot and owner.host != socket.gethostname()):
        return None
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's, so there is one
    state = _state_of(owner.pid)
    if state is None:
        return True  # the kernel hides the processes of others, not that they are there
    return not state.is_dead and owner.born in ("", state.born)


class _State(NamedTuple):
    is_dead: bool
    born: str


def _state_of(pid: int) -> _State | None:
    """From /proc/PID/stat (man 5 proc): the name may hold anything, the rest follows its last `)`:
    the state first, the start as the 20th.
    """
    try:
        rest = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return _State(is_dead=rest[0] in "ZX", born=rest[19])
    except (OSError, IndexError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _is_locked(file: Path) -> bool:
    """Whether a process of this machine holds the lock, as the kernel lists it: to try it would
    take it for an instant, and needs the right to write.
    """
    try:
        inode = str(file.stat().st_ino)
        held_locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any(
        line.split()[1] == "FLOCK" and line.split()[5].rpartition(":")[2] == inode
        for line in held_locks
        if len(line.split()) > 5
    )


def _lock(folder: Path, target: LockTarget) -> filelock.FileLock:
    # One file for both: a soft lock would outlive a killed owner, so there is no falling back.
    return filelock.FileLock(
        folder / f"{target.stem}.lock", thread_local=False, fallback_to_soft=False
    )


def _read_owner(folder: Path, target: LockTarget = CHECKPOINT) -> Owner:
    try:
        return msgspec.json.decode((folder / f"{target.stem}.json").read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Owner(host="unknown", pid=0, started_at=0.0)


def _refusal(folder: Path, target: LockTarget) -> errors.Stop:
    return errors.Stop(
        f"{folder} is in use by {_read_owner(folder, target)}; stop that one first "
        f"(polybackfill status shows it), {target.remedy}",
        exit_code=errors.EXIT_UNAVAILABLE,
    )
