"""Landlock: the kernel restricts which files and hosts the child can open, where Linux offers it.

`engine_config` and `statement_guard` refuse statements that name files and hosts. SQL also comes
out of strings (`format(Values, …)`, defaults in the structure of a table function), which nobody
can check beforehand. So the process gives up what it never needs: it writes its own folder only,
reads that, Python and the system's own files, and makes no TCP connections.
(https://docs.kernel.org/userspace-api/landlock.html, ABI 7, read 2026-11)
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION = 1 << 0
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_ABI_MIN = 2  # the first that can allow a rename from one folder to another, which the engine needs
_EXECUTE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE = 1 << 0, 1 << 2, 1 << 3, 1 << 13, 1 << 14
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_WRITING = (1 << 1) | sum(1 << bit for bit in range(4, 13)) | _REFER
_OF_FILES = _EXECUTE | (1 << 1) | _READ_FILE | _TRUNCATE
_CONNECT_TCP = 1 << 1
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/proc", "/sys", "/dev")
# Of /etc: the zone, the linker's, and the names of users and hosts.
_SETTINGS = ("localtime", "ld.so.cache", "passwd", "group", "nsswitch.conf", "hosts", "os-release")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock, below 1 where it is not to be had."""
    if not sys.platform.startswith("linux"):
        return 0
    call = ctypes.CDLL(None).syscall
    return int(call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))


def restrict(folder: Path) -> bool:
    """Bind this thread, and all it starts, to `folder`; False where the kernel cannot.

    Called before the engine is loaded, which starts threads. Raises OSError when it fails halfway.
    """
    abi = version()
    if abi < _ABI_MIN:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    call = libc.syscall
    everything = _READING | _WRITING | (_TRUNCATE if abi >= 3 else 0)
    wanted = _Ruleset(everything, _CONNECT_TCP if abi >= 4 else 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted) if abi >= 4 else 8)
    rules = _succeeded(call(_CREATE_RULESET, ctypes.byref(wanted), size, 0))
    try:
        for path in _readable():
            _allow(call, rules, path, _READING)
        _allow(call, rules, Path("/dev/null"), everything)
        for path in _owned(folder):
            _allow(call, rules, path, everything)
        no_new_privileges = map(ctypes.c_ulong, (_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _succeeded(libc.prctl(*no_new_privileges))
        _succeeded(call(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def _readable() -> list[Path]:
    """Python imports what it needs late. The folder it was started in is not among them: that is
    the first entry of the path with `python -m`."""
    package = Path(__file__).resolve().parent
    python = [Path(entry) for entry in sys.path[1:] if os.path.isabs(entry)]
    system = [Path(entry) for entry in _SYSTEM] + [Path("/etc", name) for name in _SETTINGS]
    return [package, Path(sys.prefix), Path(sys.base_prefix), *python, *system]


def _owned(folder: Path) -> list[Path]:
    """The folder, and where an operator has put parts of it on other disks."""
    inside = [folder / "engine", *folder.glob("engine/*"), *folder.glob("engine/*/*")]
    return [folder, *(path.resolve() for path in inside if path.is_symlink())]


def _allow(call: ctypes._NamedFuncPointer, rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not on every system
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        rule = _Beneath(rights, descriptor)
        _succeeded(call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


def _succeeded(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
