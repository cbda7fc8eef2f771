"""The embedded store: its child process, with what goes wrong in the words of this program."""

from __future__ import annotations

import os
import re
from pathlib import Path

from chdb_http import child_process, endpoint_file, secret
from polybackfill import clocks, errors
from polybackfill.store import error_codes

_LOCK_WAIT_S = 20.0  # a predecessor may still be writing out what it has in memory
# The child needs none of our settings, and some hold passwords or keys.
_MAY_BE_SECRET = re.compile(r"BACKFILL_|CLICKHOUSE_|NOTIFY_|\w+_PROXY$", re.IGNORECASE)
_log_limits = {"log_bytes": 32_000_000, "log_files": 5}


def bound_logs(log_bytes: int, log_files: int) -> None:
    """How large and how many the logs of children are that this process starts from now on."""
    _log_limits.update(log_bytes=log_bytes, log_files=log_files)


async def open(
    folder: Path, *, clock: clocks.Clock, port: int | None = None
) -> child_process.ChildLease:
    """Join the folder's running child, or start one.

    `port`: where it answers, the running one there too; by default where the last one did.
    Raises Stop when the folder cannot be used or another program holds it.
    """
    options = child_process.StartOptions(
        port=port, environment=_environment(), lock_wait_s=_LOCK_WAIT_S, **_log_limits
    )
    try:
        return await child_process.join_or_start(folder, options, monotonic=clock.monotonic)
    except child_process.FolderError as error:
        raise errors.Stop(
            f"The data folder {folder} cannot be written ({error.cause.strerror}). "
            "Make it writable or set BACKFILL_DATA_DIR.",
            exit_code=errors.exit_code_of(error.cause),
        ) from error
    except child_process.SecretError as error:
        raise errors.Stop(
            f"{secret.path(folder)} may not be read: the embedded store belongs to the user who "
            "started it. Run this command as that user, or use a ClickHouse server for several"
        ) from error
    except child_process.PortError as error:
        raise errors.Stop(f"{error}. Choose another --port") from error
    except child_process.StartError as error:
        raise _refused(error.report, folder) from error


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not _MAY_BE_SECRET.match(name)}


def _refused(report: endpoint_file.StartReport | None, folder: Path) -> errors.Stop:
    """The message for a child that did not start."""
    see = f"See {endpoint_file.log_path(folder)}."
    if report is None or not report.error:
        why = (
            "it exited without an error message; the kernel may have killed it for lack of memory "
            "(see `dmesg`)"
        )
    elif report.locked:
        why = f"{report.error}. Stop that process, or choose another folder with BACKFILL_DATA_DIR"
    else:
        code = errors.EXIT_UNAVAILABLE if _is_passing(report) else errors.EXIT_CONFIG
        return errors.Stop(
            f"The embedded store cannot start: {report.error}. {see}", exit_code=code
        )
    return errors.Stop(
        f"The embedded store cannot start: {why}. {see}", exit_code=errors.EXIT_UNAVAILABLE
    )


def _is_passing(report: endpoint_file.StartReport) -> bool:
    """Whether it is trouble of the machine, which ends by itself."""
    if report.engine_error is not None:
        return error_codes.is_passing(report.engine_error)
    return report.errno in errors.PASSING_ERRNOS
