"""Four error classes decide everything.

    BackfillError
    ├── Retry   again, later      the network, a busy or broken server     nobody's fault
    ├── Reject  row set aside     one row makes no sense                   the source's fault
    ├── GiveUp  unit in error     asking again will not help               the question's fault
    └── Stop    run ends          settings, lock, credentials, disk        the operator's turn

A status code, an exception of a library or an odd answer is translated into one of these once, in
the module that met it; nobody above looks at anything but the class.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

EXIT_OK = 0
EXIT_UNITS_IN_ERROR = 3
EXIT_NO_PROGRESS = 4
EXIT_UNAVAILABLE = 75  # EX_TEMPFAIL of sysexits.h: lock held, or upstream out
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: settings, input, credentials
EXIT_FORCED = 143  # 128 + SIGTERM: the second signal

# What passes by itself, or once a disk has room: no reason for a service to give up for good.
PASSING_ERRNOS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # no room
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN),  # a disk, or one far away
        *(
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOMEM,
            errno.ENOBUFS,
            errno.EAGAIN,
        ),  # too much at once
        *(errno.EBUSY, errno.EINTR, errno.ENOLCK, errno.EDEADLK),
    }
)


def exit_code_of(error: OSError) -> int:
    """75 for trouble of the system that passes, 78 for what a person must correct."""
    return EXIT_UNAVAILABLE if error.errno in PASSING_ERRNOS else EXIT_CONFIG


class BackfillError(Exception):
    """Base of everything this program raises on purpose."""


class Retry(BackfillError):
    """The same request may succeed later.

    `after_s`: what the server asked for (Retry-After), None when it said nothing.
    `pause_host_s`: everybody on that host must pause this long.
    `split`: the question was too big for the edge; halve the batch before asking again.
    `timed_out`: no answer came in time, by our clock or by the server's.
    `host_fault`: the host refuses what it always answers, so this is not about the question.
    `unreadable`: what came is no answer of this route, whatever its status says.
    """

    def __init__(
        self,
        message: str,
        *,
        after_s: float | None = None,
        pause_host_s: float | None = None,
        split: bool = False,
        timed_out: bool = False,
        host_fault: bool = False,
        unreadable: bool = False,
    ) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.pause_host_s = pause_host_s
        self.split = split
        self.timed_out = timed_out
        self.host_fault = host_fault
        self.unreadable = unreadable


class PartlyStored(Retry):
    """Some rows of an insert are stored; a server of the cluster that has the others is away.

    `lacks`: whether any of these lines is one of the others.
    """

    def __init__(self, message: str, lacks: Callable[[bytes], bool]) -> None:
        super().__init__(message)
        self.lacks = lacks


class Reject(BackfillError):
    """One row cannot be used; it goes to quarantine with this reason."""


class GiveUp(BackfillError):
    """The unit ends in `error` with this message; the others go on.

    `status`: the HTTP status behind it, None when there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Stop(BackfillError):
    """The run ends; the message names the cause and the remedy.

    `exit_code`: one of the EXIT_* codes of this module.
    """

    def __init__(self, message: str, *, exit_code: int = EXIT_CONFIG) -> None:
        super().__init__(message)
        self.exit_code = exit_code
