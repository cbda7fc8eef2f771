"""The limits count requests of one network address, so the processes of a machine share them.

Whoever is about to ask the API registers with the part of the limits that it will spend: a file in
a folder that all users share, locked for as long as its process lives. The system lets go of the
lock when the process ends, however it ends; a file without a lock counts for nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from polybackfill import errors
from polybackfill.filesystem import lock

# Not TMPDIR, which is another one for each user and service. /dev/shm is seen by services with a
# /tmp of their own too, and is empty after a boot.
FOLDERS = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108
FOLDER = "polybackfill"
BRIEF_S = 60.0  # a check that asks a few questions is waited for; it takes seconds

_MUTEX = "mutex"
_SUFFIX = ".json"
_POLL_S = 0.2
_MAX_BYTES = 65_536
_ALL = 1.0 + 1e-9


class Spender(msgspec.Struct, frozen=True, kw_only=True):
    """A process that asks. `what`: its command; `hosts`: host and port of each API that it asks;
    `share`: its part of the limits; `brief`: it asks a few questions and ends.
    """

    who: lock.Owner
    what: str
    hosts: tuple[str, ...]
    share: float
    brief: bool = False


def spenders(hosts: Collection[str]) -> list[Spender]:
    """Who asks any of these hosts now. Waits for nobody."""
    living = []
    for file in _files():
        spender = _living(file)
        if spender is not None and not set(hosts).isdisjoint(spender.hosts):
            living.append(spender)
    return living


def in_the_way(hosts: Collection[str], share: float) -> list[Spender]:
    """Who leaves less than `share` of the limits; empty when there is room."""
    living = spenders(hosts)
    return living if sum(one.share for one in living) + share > _ALL else []


@asynccontextmanager
async def spending(
    hosts: Collection[str], share: float, what: str, *, run_name: str = "", brief: bool = False
) -> AsyncIterator[None]:
    """Spend a share of the limits inside the block.

    Waits for those who are brief, up to a minute. Raises errors.Stop (exit 75) naming who is in
    the way.
    """
    me = lock.this_process(time.time(), run_name)
    mine = Spender(who=me, what=what, hosts=tuple(hosts), share=share, brief=brief)
    deadline = time.monotonic() + BRIEF_S
    while (entry := _enter(mine)) is None:
        others = in_the_way(hosts, share)
        if others and not (all(one.brief for one in others) and time.monotonic() < deadline):
            raise errors.Stop(refusal(others), exit_code=errors.EXIT_UNAVAILABLE)
        await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        entry.leave()


def refusal(others: Collection[Spender]) -> str:
    """Who is in the way, and the remedy."""
    named = "; ".join(
        f"a {one.what} spends the limits of this address ({one.who})" for one in others
    )
    return f"{named}: wait for its end, or give each its part with BACKFILL_SHARE, say 0.8 and 0.2"


class _Entry:
    """A file that says who we are, locked."""

    def __init__(self, folder: Path, mine: Spender) -> None:
        self._file = folder / f"{mine.who.pid}-{secrets.token_hex(6)}{_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handle = os.open(self._file, flags, 0o644)
        os.fchmod(self._handle, 0o644)  # whatever the umask
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        os.write(self._handle, msgspec.json.encode(mine))

    def leave(self) -> None:
        with suppress(OSError):  # the lock decides
            self._file.unlink(missing_ok=True)
        os.close(self._handle)


class _Nowhere(_Entry):
    """No folder can be shared here: nobody is seen and nobody sees us."""

    def __init__(self) -> None:
        pass

    def leave(self) -> None:
        pass


def _enter(mine: Spender) -> _Entry | None:
    """An entry, None when there is no room for it. One process at a time looks and enters."""
    folder = _folder()
    if folder is None:
        return _Nowhere()
    with _mutex(folder):
        for file in _files():
            if _living(file) is None:
                with suppress(OSError):  # another user's; it hurts nobody
                    file.unlink()
        if in_the_way(mine.hosts, mine.share):
            return None
        return _Entry(folder, mine)


def _folder() -> Path | None:
    """The shared folder, made if it is not there."""
    for parent in FOLDERS:
        folder = parent / FOLDER
        with suppress(OSError):
            with suppress(FileExistsError):
                folder.mkdir()
                folder.chmod(0o1777)
            if stat.S_ISDIR(folder.lstat().st_mode) and os.access(folder, os.W_OK):
                return folder
    return None


@contextmanager
def _mutex(folder: Path) -> Iterator[None]:
    file = folder / _MUTEX
    try:
        # Without O_CREAT first: the kernel refuses that for a file of somebody else in a folder
        # where everybody may write (fs.protected_regular).
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(file, flags, 0o644)
        with suppress(OSError):
            os.fchmod(handle, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # held for milliseconds
        yield
    finally:
        os.close(handle)


def _files() -> list[Path]:
    files: list[Path] = []
    for parent in FOLDERS:
        with suppress(OSError):
            files += sorted((parent / FOLDER).glob(f"*{_SUFFIX}"))
    return files


def _living(file: Path) -> Spender | None:
    """What a file says, if the process that wrote it is alive."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(os.read(handle, _MAX_BYTES), type=Spender)
        return None
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(handle)
