"""`polybackfill support-bundle`: one archive for a bug report, shown before it is written."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from chdb_http import endpoint_file
from polybackfill import clocks, errors, formats, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.filesystem import lock
from polybackfill.reports import bundle_archive, failing_units, pseudonyms, run_files, snapshot
from polybackfill.run import api_client, bootstrap, doctor_checks, doctor_probe

_PART_S = 90.0
_DEADLINE_S = 20.0
_LOG_LINES = 5_000
_STORE_LOG_LINES = 500
_ERRORS = 100
_FAILING = 5
_QUARANTINED = 50

README = """\
`polybackfill support-bundle` made these files for a bug report.

Each wallet address is replaced by another one (face000…1 and so on), the same in every file;
transactions (fade000…1) and names of people (person-1) are replaced too. Passwords, and every part
of a URL except the address, are removed. Conditions, markets and times are unchanged. If a part
could not be made, its file gives the reason.
"""

Part = Callable[[], Awaitable[Any]]


def bundle(arguments: argparse.Namespace) -> int:
    """Make every part, show what goes in, write it when that is wanted."""
    chosen = bootstrap.settings_of(arguments)
    output = _output(chosen, arguments.output)
    files, replaced = bootstrap.run(_files(chosen, ask_api=not arguments.offline))
    for name, content in files.items():
        print(f"  {formats.size(len(content)):>9}  {name}")
    shown = ", ".join(f"{count:,} {what}" for what, count in replaced.items())
    print(f"replaced by other names: {shown}")
    if not arguments.yes and not _agrees(output):
        print("nothing was written")
        return errors.EXIT_OK
    bundle_archive.write(output, files)
    print(f"written: {output}, readable by you alone. Look into it before you send it.")
    return errors.EXIT_OK


def _output(chosen: settings.Settings, wanted: Path | None) -> Path:
    """Where the archive goes. Raises errors.Stop for a folder that is not there."""
    if wanted is None:
        folder = chosen.backfill.data_dir / "support"
        bootstrap.make_folder(folder, "BACKFILL_DATA_DIR")
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return folder / f"polybackfill-{chosen.backfill.run_name}-{stamp}.tar.gz"
    if wanted.is_dir() or not wanted.absolute().parent.is_dir():
        raise errors.Stop(f"--output {wanted}: name a file in a folder that exists")
    return wanted


def _agrees(output: Path) -> bool:
    """A person on the terminal wants it. Raises errors.Stop where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise errors.Stop(
            f"cannot ask whether to write {output}, because there is no terminal: add --yes"
        )
    try:
        return input(f"write {output}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


async def _files(
    chosen: settings.Settings, *, ask_api: bool
) -> tuple[dict[str, bytes], dict[str, int]]:
    """The archive's files by name, as they may leave, and what has another name in them."""
    bundle = _Bundle(chosen, ask_api=ask_api)
    collected = {name: await _collect(part) for name, part in bundle.parts().items()}
    collected |= {
        f"replies/{name}": response for name, response in (await bundle.replies()).items()
    }
    hosts = tuple(url.secret for url in api_client.base_urls(chosen).values())
    secrets = pseudonyms.list_secrets(os.environ, hosts)
    secrets += [chosen.clickhouse.password.get_secret_value(), str(Path.home())]
    secrets += [chosen.backfill.listen_token.get_secret_value()]
    names = pseudonyms.Pseudonyms(secrets)
    for content in collected.values():
        names.learn(content)
    files = {
        name: bundle_archive.encode(name, names.document(content))
        for name, content in collected.items()
    }
    return {"README.txt": README.encode(), **files}, names.replaced


async def _collect(part: Part) -> Any:
    """What a part holds; why there is nothing, where it cannot be made."""
    try:
        async with asyncio.timeout(_PART_S):
            return await part()
    except TimeoutError:
        return {"could_not_be_made": f"not ready within {_PART_S:.0f} s"}
    except Exception as problem:
        # Whatever is damaged is the reason for the report; the other parts must not miss for it.
        return {"could_not_be_made": f"{type(problem).__name__}: {problem}"}


class _Bundle:
    """The parts of one archive. Each is made by itself and may fail by itself."""

    def __init__(self, chosen: settings.Settings, *, ask_api: bool) -> None:
        self._chosen = chosen
        self._ask_api = ask_api
        self._not_asked = api_client.limit_holder(chosen) if ask_api else "--offline"

    def parts(self) -> dict[str, Part]:
        """By the name of the file."""
        return {
            "version.json": self._version,
            "settings.json": self._settings,
            "doctor.json": self._doctor,
            "probe.json": self._probe,
            "status.json": self._status,
            "checkpoint.json": self._checkpoint,
            "log.jsonl": self._log,
            "store-log.txt": self._store_log,
            "quarantine.jsonl": self._quarantine,
        }

    async def replies(self) -> dict[str, Any]:
        """What the API answers now where units fail, by file name."""
        failing = await _collect(self._failing)
        if isinstance(failing, dict):
            return {"none.json": failing}
        if self._not_asked or not failing:
            return {"none.json": {"not_asked": self._not_asked or "no unit fails"}}
        responses: dict[str, Any] = {}
        async with self._client() as client:
            for number, failing_unit in enumerate(failing, 1):
                last_response = failing_units.LastResponse(client)
                responses[f"{number}-{failing_unit.unit.kind}.json"] = await _collect(
                    partial(last_response.describe_failure, failing_unit)
                )
        return responses

    async def _failing(self) -> Sequence[failing_units.Failing]:
        """The newest units in error, else open ones that fail."""
        checkpoint = await asyncio.to_thread(
            run_checkpoint.Checkpoint.view, self._chosen.checkpoint_path
        )
        failing: list[failing_units.Failing] = [*list(checkpoint.failed_units())[-_FAILING:]]
        failing += [unit for unit in checkpoint.open_units() if unit.errors]
        return failing[:_FAILING]

    def _client(self) -> Any:
        return api_client.open_client(self._chosen, clocks.SystemClock(), deadline_s=_DEADLINE_S)

    async def _version(self) -> dict[str, Any]:
        disk = shutil.disk_usage(_existing(self._chosen.backfill.data_dir))
        return {
            "polybackfill": metadata.version("polybackfill"),
            "python": sys.version,
            "platform": platform.platform(),
            "libc": platform.libc_ver(),
            "processors": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "disk_free_bytes": disk.free,
            "encoding": sys.stdout.encoding,
            "time_zone": time.tzname,
            "now": clocks.utc_text(time.time()),
            "packages": {one.name: one.version for one in metadata.distributions()},
        }

    async def _settings(self) -> dict[str, Any]:
        effective = doctor_checks.effective(self._chosen)
        return {"settings": effective, "unknown": list(self._chosen.unknown)}

    async def _doctor(self) -> list[dict[str, Any]]:
        findings = await doctor_checks.examine(
            self._chosen, make_store=False, ask_api=not self._not_asked
        )
        return [asdict(one) for one in findings]

    async def _probe(self) -> dict[str, Any]:
        if self._not_asked:
            return {"not_asked": self._not_asked}
        return (await doctor_probe.look(self._chosen)).document

    async def _status(self) -> dict[str, Any]:
        backfill = self._chosen.backfill
        holder = lock.holder(self._chosen.checkpoint_path)
        picture = run_files.read_snapshot(
            snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
        )
        return {"running": None if holder is None else str(holder), "picture": picture}

    async def _checkpoint(self) -> dict[str, Any]:
        folder = self._chosen.checkpoint_path
        names_in_folder = sorted(folder.iterdir()) if folder.is_dir() else []
        sizes = {file.name: file.stat().st_size for file in names_in_folder if file.is_file()}
        return {"files": sizes, **await _collect(self._counts)}

    async def _counts(self) -> dict[str, Any]:
        if not self._chosen.checkpoint_path.is_dir():
            return {"state": "none yet"}
        checkpoint = await asyncio.to_thread(
            run_checkpoint.Checkpoint.view, self._chosen.checkpoint_path
        )
        opened, failed = list(checkpoint.open_units()), list(checkpoint.failed_units())
        return {
            "counts": checkpoint.stats(),
            "totals": {kind: msgspec.to_builtins(one) for kind, one in checkpoint.totals().items()},
            "open": _by_kind(opened),
            "in_error": _by_kind(failed),
            "last_errors": [
                {"unit": unit.unit.id, "error": unit.error} for unit in failed[-_ERRORS:]
            ],
            "open_with_errors": [
                {"unit": unit.unit.id, "errors": unit.errors, "pages": unit.counts.pages}
                for unit in opened
                if unit.errors
            ][-_ERRORS:],
        }

    async def _log(self) -> list[str]:
        backfill = self._chosen.backfill
        file = backfill.log_file or backfill.data_dir / "log" / f"{backfill.run_name}.jsonl"
        return await asyncio.to_thread(bundle_archive.last_lines, file, _LOG_LINES)

    async def _store_log(self) -> list[str]:
        file = endpoint_file.log_path(bootstrap.store_folder(self._chosen.backfill.data_dir))
        return await asyncio.to_thread(bundle_archive.last_lines, file, _STORE_LOG_LINES)

    async def _quarantine(self) -> list[dict[str, Any]]:
        bootstrap.require_store(self._chosen)
        async with bootstrap.open_store(self._chosen) as store:
            return await store.rows(
                "SELECT reason, request, raw, unit, rejected_at FROM quarantine "
                f"ORDER BY rejected_at DESC LIMIT {_QUARANTINED}"
            )


def _by_kind(units_held: Sequence[Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in units_held:
        counts[one.unit.kind] = counts.get(one.unit.kind, 0) + 1
    return counts


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.is_dir())
