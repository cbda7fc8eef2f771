"""The unit files of a service: texts alone, made from where the program and its data lie."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from polybackfill import errors

NAME = "polybackfill"
MARK = "# Written by `polybackfill service install`"
_STATE = Path("/var/lib") / NAME  # made by systemd, which gives it to the user
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_NO_WORD = re.compile(r"[^A-Za-z0-9._/:@%+=,-]")


@dataclass(frozen=True)
class Service:
    """One installation. `folder`: where it works, with `.env` and everything the program writes;
    `user`: who it runs as, None for a service of the person who installs it.
    """

    program: tuple[str, ...] = ("/opt/polybackfill/bin/polybackfill",)
    folder: Path = Path("/var/lib/polybackfill")
    data_dir: Path = Path("/var/lib/polybackfill/data")
    checkpoint_dir: Path = Path("/var/lib/polybackfill/checkpoints")
    config: Path | None = None
    user: str | None = NAME

    @property
    def environment_file(self) -> Path:
        """Settings and secrets, which the commands typed in the folder read as well."""
        return self.folder / ".env"


def service_text(service: Service) -> str:
    """The unit. Raises errors.Stop for a path that no unit file can hold."""
    environment = {
        "BACKFILL_DATA_DIR": str(service.data_dir),
        "BACKFILL_CHECKPOINT_DIR": str(service.checkpoint_dir),
        **({"BACKFILL_CONFIG": str(service.config)} if service.config else {}),
        "MALLOC_ARENA_MAX": "2",
    }
    settings = "\n".join(f"Environment={_word(f'{k}={v}')}" for k, v in environment.items())
    return _SERVICE.format(
        mark=f"{MARK}; what to change by hand: systemctl edit {NAME}",
        identity=_identity(service),
        folder=_path(service.folder),
        environment=settings,
        environment_file=_path(service.environment_file),
        command=_command(service.program),
        confinement=_confinement(service),
        target="default.target" if service.user is None else "multi-user.target",
    )


def timer_text() -> str:
    """The unit that starts the service every evening, when it is not at work anyway."""
    return _TIMER.format(mark=MARK)


def environment_text(settings: dict[str, str]) -> str:
    """The environment file; its first line tells later whether a person has changed it."""
    lines = [f"{name}={_quoted(name, value)}" for name, value in settings.items()]
    body = "\n".join([_ENVIRONMENT_HEAD, *lines]) + "\n"
    return f"{MARK} {_digest(body)}\n{body}"


def is_untouched(text: str) -> bool:
    """Whether an environment file is as it was written."""
    first, _, body = text.partition("\n")
    return first == f"{MARK} {_digest(body)}"


def _digest(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=8).hexdigest()


def _quoted(name: str, value: str) -> str:
    """In single quotes systemd and the program read the same, whatever stands in them."""
    for character in ("'", "\n", "\\"):
        if character in value:
            raise errors.Stop(
                f"{name} holds {character!r}, which an environment file of systemd and .env read "
                "differently: choose another value, or set it with `systemctl edit`"
            )
    return f"'{value}'"


def _identity(service: Service) -> str:
    if service.user is None:
        return ""
    lines = [f"User={service.user}", f"Group={service.user}"]
    if service.folder == _STATE:
        lines += [f"StateDirectory={NAME}", "StateDirectoryMode=0750"]
    return "\n".join(lines) + "\n"


def _confinement(service: Service) -> str:
    """What the process may do. A user's own manager cannot do most of the first part."""
    if service.user is None:
        return _CONFINED
    places = dict.fromkeys((service.folder, service.data_dir, service.checkpoint_dir))
    read = (*places, Path(service.program[0]), *((service.config,) if service.config else ()))
    home = "read-only" if any(_is_at_home(path) for path in read) else "yes"
    has_state = service.folder == _STATE
    writable = [p for p in places if not (has_state and p.is_relative_to(_STATE))]
    lines = [f"ProtectHome={home}", *(f"ReadWritePaths={_word(str(path))}" for path in writable)]
    return _CONFINED + _CONFINED_BY_ROOT + "\n".join(lines) + "\n"


def _is_at_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in _HOMES)


def _command(program: tuple[str, ...]) -> str:
    words = [_word(word) for word in (*program, "run")]
    # Only the colon keeps systemd from taking a dollar for the name of a variable.
    return (":" if any("$" in word for word in words) else "") + " ".join(words)


def _word(text: str) -> str:
    """One word of a line of a unit file, quoted where it must be (systemd.syntax(7))."""
    shown = _path_text(text).replace("%", "%%")
    if not _NO_WORD.search(shown):
        return shown
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(path: Path) -> str:
    """The whole value of a line that takes one path, which systemd does not unquote."""
    return _path_text(str(path)).replace("%", "%%")


def _path_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _unfit(
            text, f"the byte 0x{text.encode(errors='surrogateescape')[error.start]:02x}"
        ) from error
    for character in text:
        if not character.isprintable():
            raise _unfit(text, repr(character))
    if text != text.strip() or text.endswith("\\"):
        raise _unfit(text, repr(text[-1]))
    return text


def _unfit(text: str, character: str) -> errors.Stop:
    return errors.Stop(
        f"no unit file can hold {text!r}, because of {character}: choose another folder "
        "(--folder, --data-dir, --checkpoint-dir)"
    )


_SERVICE = """\
{mark}
# Settings and secrets lie in the file that EnvironmentFile names.
[Unit]
Description=polybackfill, Polymarket history into ClickHouse
Wants=network-online.target
After=network-online.target
# An outage of a night must not use up a number of starts.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
{identity}WorkingDirectory={folder}
{environment}
EnvironmentFile=-{environment_file}
# Everything, or the planned list where there is one.
ExecStart={command}

# 4 (no progress) and 75 (lock held; store, API or disk out) come back; 0 is done, 3 (finished, some
# units in error) and 78 (settings) wait for a person.
Restart=on-failure
RestartSec=60
RestartPreventExitStatus=3 78
# Pings follow progress or a declared wait, so a blocked process is ended and started again.
WatchdogSec=300
TimeoutStartSec=300

# SIGTERM goes to the daemon alone, which still needs its store; what is left is killed at the end.
# The grace period (BACKFILL_GRACE_S, 30 s) must fit in.
KillMode=mixed
TimeoutStopSec=90

LimitNOFILE=65536
UMask=0027
{confinement}
[Install]
WantedBy={target}
"""
_CONFINED = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# What is not on the list fails, rather than end the program.
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute stays off: the embedded ClickHouse compiles expressions at run time, and
# under it ends with "Cannot mprotect memory region" (seen with 26.9).
"""
_CONFINED_BY_ROOT = """\
CapabilityBoundingSet=
AmbientCapabilities=
DevicePolicy=closed
PrivateDevices=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
"""
_TIMER = """\
{mark}
# Brings what is new, evening after evening; a run that is still at work is left alone.
[Unit]
Description=polybackfill in the evening

[Timer]
OnCalendar=*-*-* 20:00:00
# An evening that the machine slept or was off through is made up for.
Persistent=true
RandomizedDelaySec=15min

[Install]
WantedBy=timers.target
"""
_ENVIRONMENT_HEAD = """\
# Settings of the service and of what you type in this folder; all names: docs/settings.md.
# Values in single quotes. This file may hold passwords: leave it to its owner (mode 600).
# CLICKHOUSE_HOST='clickhouse.example'     without it: the embedded store
# CLICKHOUSE_PASSWORD='…'
# BACKFILL_SHARE='0.5'                     half of the published limits"""
