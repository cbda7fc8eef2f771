"""`polybackfill service install`, `show` and `uninstall`: the program as a systemd service."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource

from polybackfill import errors, settings
from polybackfill.run import bootstrap, systemd

_SYSTEM_FOLDER = Path("/var/lib") / systemd.NAME
_SYSTEM_UNITS = Path("/etc/systemd/system")
_SERVICE, _TIMER = f"{systemd.NAME}.service", f"{systemd.NAME}.timer"
# Settings of the libraries that decide whether the API can be reached.
_OF_THE_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE")
_SECRET_WORDS = ("PASSWORD", "PROXY", "_URL")


@dataclass(frozen=True)
class InstallTarget:
    """Where the files go. `root`: put before every path, for an image or a test."""

    root: Path
    units: Path
    is_user: bool

    def under(self, path: Path) -> Path:
        """`path` below the root."""
        return self.root / path.relative_to(path.anchor)

    @property
    def unit_files(self) -> tuple[Path, Path]:
        """Service and timer."""
        return self.under(self.units / _SERVICE), self.under(self.units / _TIMER)

    @property
    def systemctl(self) -> str:
        """How the manager of these units is spoken to."""
        return "systemctl --user" if self.is_user else "systemctl"

    @property
    def is_live(self) -> bool:
        """Whether a manager that knows these files runs here."""
        return self.root == Path("/") and Path("/run/systemd/system").is_dir()


def install(arguments: argparse.Namespace) -> int:
    """Write unit, timer and environment file, and say what comes next."""
    target = _find_target(arguments)
    service = _service(arguments, target)
    texts = {
        target.unit_files[0]: systemd.service_text(service),
        target.unit_files[1]: systemd.timer_text(),
    }
    secrets = systemd.environment_text(_carried(arguments, service))
    file = target.under(service.environment_file)
    if arguments.dry_run:
        for path, text in {**texts, file: _masked(secrets)}.items():
            print(f"==> {path}\n{text}")
        return errors.EXIT_OK
    owner = _owner(service.user, target)
    for path in texts:
        _refuse_foreign(path)
    folders = dict.fromkeys((service.folder, service.data_dir, service.checkpoint_dir))
    for folder in folders:
        _make_folder(target.under(folder), owner)
    for path, text in texts.items():
        _write(path, text, mode=0o644, owner=None)
        print(f"written: {path}")
    print(_write_environment(file, secrets, owner))
    _tell_next(target, service, now=arguments.now)
    return errors.EXIT_OK


def show(arguments: argparse.Namespace) -> int:
    """The files as they are installed, secrets masked."""
    target = _find_target(arguments, reads=True)
    if not target.unit_files[0].is_file():
        print(f"no service is installed ({target.unit_files[0]}): {_typed('install')}")
        return errors.EXIT_OK
    for path in (*target.unit_files, *_environment_files(target)):
        with contextlib.suppress(FileNotFoundError), _named(path):
            print(f"==> {path}\n{_masked(path.read_text(encoding='utf-8'))}")
    return errors.EXIT_OK


def uninstall(arguments: argparse.Namespace) -> int:
    """Stop the service and remove what `install` wrote; data and changed files stay."""
    target = _find_target(arguments)
    for path in target.unit_files:
        _refuse_foreign(path)
    environment_files = _environment_files(target)
    if target.is_live:
        _call(f"{target.systemctl} disable --now {_TIMER} {_SERVICE}")
    gone = [path for path in target.unit_files if path.exists()]
    kept: list[Path] = []
    for path in environment_files:
        with contextlib.suppress(FileNotFoundError), _named(path):
            untouched = systemd.is_untouched(path.read_text(encoding="utf-8"))
            (gone if untouched else kept).append(path)
    for path in gone:
        with _named(path):
            path.unlink()
        print(f"removed: {path}")
    for path in kept:
        print(f"kept, since it was changed by hand: {path}")
    if not gone:
        print("no service was installed")
    print("kept: the data and the checkpoint")
    if target.is_live:
        _call(f"{target.systemctl} daemon-reload")
    return errors.EXIT_OK


def _find_target(arguments: argparse.Namespace, *, reads: bool = False) -> InstallTarget:
    root = (arguments.root or Path("/")).resolve()
    if arguments.user:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return InstallTarget(root, Path(home).absolute() / "systemd/user", is_user=True)
    if not reads and root == Path("/") and os.geteuid() != 0 and not arguments.dry_run:
        raise errors.Stop(
            f"a service of the whole machine needs root: sudo {_typed()}; for a service of your "
            f"own: {_typed()} --user"
        )
    return InstallTarget(root, _SYSTEM_UNITS, is_user=False)


def _typed(action: str | None = None) -> str:
    """The command as it was typed, without what a shell would break."""
    words = ["polybackfill", "service", action] if action else ["polybackfill", *sys.argv[1:]]
    return shlex.join(words)


def _service(arguments: argparse.Namespace, target: InstallTarget) -> systemd.Service:
    folder = arguments.folder
    if folder is None:
        folder = Path.cwd() if target.is_user else _SYSTEM_FOLDER
    folder = folder.absolute()
    chosen = bootstrap.settings_of(arguments)
    config = arguments.config or os.environ.get("BACKFILL_CONFIG")
    named = {"BACKFILL_DATA_DIR", "BACKFILL_CHECKPOINT_DIR"} & chosen.origins.keys()
    data, checkpoints = folder / "data", folder / "checkpoints"
    # What was named counts from where it was named; else everything lies in the folder.
    if "BACKFILL_DATA_DIR" in named:
        data = chosen.backfill.data_dir.absolute()
    if "BACKFILL_CHECKPOINT_DIR" in named:
        checkpoints = chosen.backfill.checkpoint_dir.absolute()
    return systemd.Service(
        program=_program(),
        folder=folder,
        data_dir=data,
        checkpoint_dir=checkpoints,
        config=Path(config).absolute() if config else None,
        user=None if target.is_user else arguments.service_user,
    )


def _program() -> tuple[str, ...]:
    """This very installation, by the path of its environment rather than what that links to."""
    script = Path(sys.executable).with_name("polybackfill")
    return (str(script),) if script.is_file() else (sys.executable, "-m", "polybackfill")


def _carried(arguments: argparse.Namespace, service: systemd.Service) -> dict[str, str]:
    """The settings of this shell and of its .env files, which the service would not have."""
    models = (settings.BackfillSettings, settings.ClickHouseSettings, settings.WatchlistSettings)
    known = {
        f"{model.model_config.get('env_prefix')}{name}".upper()
        for model in models
        for name in model.model_fields
    } - {"BACKFILL_DATA_DIR", "BACKFILL_CHECKPOINT_DIR"}
    files = DotEnvSettingsSource(settings.BackfillSettings, env_file=settings.ENV_FILES).env_vars
    values = {name.upper(): value for name, value in {**files, **os.environ}.items() if value}
    carried = {name: values[name] for name in (*sorted(known), *_OF_THE_NETWORK) if name in values}
    if arguments.run_name:
        carried["BACKFILL_RUN_NAME"] = arguments.run_name
    if "BACKFILL_LOG_FILE" in carried:
        carried["BACKFILL_LOG_FILE"] = str(Path(carried["BACKFILL_LOG_FILE"]).absolute())
    return carried


def _owner(user: str | None, target: InstallTarget) -> tuple[int, int] | None:
    """Ids of the service's user; None where nothing has to be given away."""
    if user is None:
        return None
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(user)
        return (entry.pw_uid, entry.pw_gid) if os.geteuid() == 0 else None
    if target.root != Path("/"):
        return None  # its users are made with its image
    raise errors.Stop(
        f"there is no user {user} on this machine: useradd --system --home-dir {_SYSTEM_FOLDER} "
        f"--shell /usr/sbin/nologin {user}; or name another one with --service-user"
    )


def _refuse_foreign(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), _named(path):
        if not path.read_text(encoding="utf-8", errors="replace").startswith(systemd.MARK):
            raise errors.Stop(
                f"{path} was not written by this command: move it away; changes of your own belong "
                f"into `systemctl edit {systemd.NAME}`"
            )


def _make_folder(folder: Path, owner: tuple[int, int] | None) -> None:
    with _named(folder):
        if folder.is_dir():
            return
        folder.mkdir(mode=0o750, parents=True)
        if owner:
            os.chown(folder, *owner)


def _write(path: Path, text: str, *, mode: int, owner: tuple[int, int] | None) -> None:
    """Whole or not at all, and never through a link that somebody else has put there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            if owner:
                os.fchown(descriptor, *owner)
            file.write(text)
        fresh.replace(path)


def _write_environment(file: Path, text: str, owner: tuple[int, int] | None) -> str:
    """Write it, unless a person has; returns what to tell."""
    before = None
    with contextlib.suppress(FileNotFoundError), _named(file):
        before = file.read_text(encoding="utf-8")
    if before is None or systemd.is_untouched(before):
        _write(file, text, mode=0o600, owner=owner)
        return f"written: {file} (settings and secrets, mode 600)"
    notice = f"kept, since it is not as this command wrote it: {file}"
    with _named(file):
        mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        notice += f"\n  others may read it (mode {mode:o}): chmod 600 {shlex.quote(str(file))}"
    missing = sorted(_names(text) - _names(before))
    if missing:
        notice += f"\n  not in it, and set in this shell: {', '.join(missing)}"
    return notice


def _names(text: str) -> set[str]:
    lines = (line.strip().removeprefix("export ") for line in text.splitlines())
    return {line.partition("=")[0].strip() for line in lines if line and line[0] != "#"}


def _environment_files(target: InstallTarget) -> list[Path]:
    """What the installed unit reads."""
    with contextlib.suppress(FileNotFoundError), _named(target.unit_files[0]):
        for line in target.unit_files[0].read_text(encoding="utf-8").splitlines():
            if line.startswith("EnvironmentFile=-"):
                named = line.removeprefix("EnvironmentFile=-").replace("%%", "%")
                return [target.under(Path(named))]
    return []


def _tell_next(target: InstallTarget, service: systemd.Service, *, now: bool) -> None:
    reload = f"{target.systemctl} daemon-reload"
    enable = f"{target.systemctl} enable --now {_SERVICE} {_TIMER}"
    journal = f"journalctl {'--user ' if target.is_user else ''}-u {systemd.NAME} -f"
    if now and target.is_live:
        _call(reload)
        _call(enable)
    else:
        if now:
            print("systemd does not run here, so nothing was started")
        print("next:")
        print(f"  {reload}")
        print(f"  {enable}")
    print(f"  {journal}")
    inside = f"cd {shlex.quote(str(service.folder))}"
    as_user = "" if target.is_user else f"sudo -u {service.user} "
    print(f"  {inside} && {as_user}{shlex.join(service.program)} status")
    if target.is_user:
        print("  loginctl enable-linger            so that it runs while you are logged out")


def _call(command: str) -> None:
    print(f"  {command}")
    ended = subprocess.run(command.split(), capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode:
        raise errors.Stop(f"{command}: {ended.stderr.strip() or ended.returncode}")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        code = errors.exit_code_of(error) if isinstance(error, OSError) else errors.EXIT_CONFIG
        raise errors.Stop(f"{path}: {cause}", exit_code=code) from error


def _masked(text: str) -> str:
    return "".join(_masked_line(line) for line in text.splitlines(keepends=True))


def _masked_line(line: str) -> str:
    name, equals, value = line.partition("=")
    is_secret = equals and not line.startswith("#") and any(w in name for w in _SECRET_WORDS)
    return f"{name}='…'\n" if is_secret and value.strip() else line
