"""The whole history of Polymarket in ClickHouse.

A program imports `Backfill`, `RunRequest` and `RunSummary` from here; `settings.load` gives the
settings. They are loaded when they are asked for: `--help` needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polybackfill.run.backfill import Backfill
    from polybackfill.run.run_request import RunRequest
    from polybackfill.run.run_summary import RunSummary

__all__ = ["Backfill", "RunRequest", "RunSummary"]

_MODULES = {
    "Backfill": "polybackfill.run.backfill",
    "RunRequest": "polybackfill.run.run_request",
    "RunSummary": "polybackfill.run.run_summary",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
