"""What a run has left in its folders, read by commands beside it: status file and checkpoint."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson

from polybackfill import errors, guess, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.filesystem import lock, sealed_json
from polybackfill.reports import snapshot

NOT_COMPARED = (
    "the last run did not end normally: nothing counts as proven until the next run has compared "
    "its receipts with the tables"
)


def read_status(chosen: settings.Settings) -> tuple[dict[str, Any] | None, lock.Owner | None]:
    """The run's newest picture, and who has its checkpoint folder; nothing is locked for that.

    Where the folder is not where the settings of this command have it, the picture knows better.
    """
    picture = read_snapshot(
        snapshot.snapshot_path(chosen.backfill.data_dir, chosen.backfill.run_name)
    )
    return picture, lock.holder(checkpoint_folder(chosen, picture))


def checkpoint_folder(chosen: settings.Settings, picture: dict[str, Any] | None) -> Path:
    """The folder of the settings; the one that the picture names where that does not exist."""
    folder = chosen.checkpoint_path
    with contextlib.suppress(OSError):
        if not folder.is_dir() and picture is not None and "checkpoint" in picture["paths"]:
            return Path(picture["paths"]["checkpoint"])
    return folder


def require_run(chosen: settings.Settings) -> None:
    """Raise errors.Stop for an unknown run name while other runs have a checkpoint here.

    A run that left a status file is known, even where its checkpoint is lost.
    """
    backfill = chosen.backfill
    seen = snapshot.snapshot_path(backfill.data_dir, backfill.run_name)
    if chosen.checkpoint_path.is_dir() or seen.is_file():
        return
    if known := sorted(checkpoint.name for checkpoint in backfill.checkpoint_dir.glob("*/")):
        raise errors.Stop(
            f"no run named {backfill.run_name} has left anything under {backfill.checkpoint_dir}; "
            f"--run-name or BACKFILL_RUN_NAME may be: {', '.join(known)}"
            f"{guess.near(backfill.run_name, known)}"
        )


def read_snapshot(file: Path) -> dict[str, Any] | None:
    """What the run last wrote of itself, None when there is none; errors.Stop for a broken file."""
    try:
        line = file.read_bytes().removesuffix(b"\n")
        if sealed_json.is_sealed(line) and not sealed_json.is_intact(line):
            raise errors.Stop(
                f"status file {file} is damaged: delete it; the next run writes a new one"
            )
        document = orjson.loads(line)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Stop(
            f"status file {file} cannot be read ({error.strerror}): ask its owner to let this user "
            "read it"
        ) from error
    except orjson.JSONDecodeError as error:
        raise errors.Stop(f"status file {file} cannot be read ({error}): delete it") from error
    if not isinstance(document, dict) or not {"pid", "now"} <= document.keys():
        raise errors.Stop(f"status file {file} was not written by a run: delete it")
    document.pop("crc", None)
    return {"paths": {}, **document}


def open_checkpoint(chosen: settings.Settings) -> run_checkpoint.Checkpoint | None:
    """The run's checkpoint, to read; None when there is none yet.

    Raises errors.Stop when other runs have one, since then the name is likely misspelt.
    """
    require_run(chosen)
    return (
        run_checkpoint.Checkpoint.view(chosen.checkpoint_path)
        if chosen.checkpoint_path.is_dir()
        else None
    )
