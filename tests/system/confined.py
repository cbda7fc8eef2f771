"""Starts a command under the system call filter of a unit file, as systemd would.

`python confined.py UNIT COMMAND…`. What systemd does with namespaces and capabilities, as for
ProtectSystem= or PrivateUsers=, is not done here: that needs systemd itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # SCMP_ACT_* of seccomp.h
_PR_SET_NO_NEW_PRIVS = 38  # prctl(2)


def members(group: str) -> Iterator[str]:
    """The calls of a group, those of the groups in it included; a call stands for itself."""
    if not group.startswith("@"):
        yield group
        return
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", group],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in listed.splitlines()[1:]:
        word = line.strip()
        if word and not word.startswith("#"):
            yield from members(word)


def allowed(unit: Path) -> set[str]:
    """What the SystemCallFilter= lines of a unit let through; @default always is."""
    names = set(members("@default"))
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("SystemCallFilter="):
            words = line.removeprefix("SystemCallFilter=")
            listed = {name for word in words.removeprefix("~").split() for name in members(word)}
            names = names - listed if words.startswith("~") else names | listed
    return names


def confine(names: set[str]) -> None:
    """From now on, for this process and all it starts."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            continue  # of another architecture, or of a newer kernel
        added = library.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0)
        assert added == 0, name
    libc = ctypes.CDLL(None)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert library.seccomp_load(context) == 0


def main() -> None:
    """Become the command."""
    unit, *command = sys.argv[1:]
    confine(allowed(Path(unit)))
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
