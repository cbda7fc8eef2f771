"""The longer statements, each in a file of `store/queries` that is named for what it asks."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def read(name: str) -> str:
    """The statement of `queries/<name>.sql`, without the comment above it, as `str.format` takes it
    where it has places to fill."""
    text = resources.files("polybackfill.store").joinpath("queries", f"{name}.sql").read_text()
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("--"):
        del lines[0]
    return "".join(lines)
