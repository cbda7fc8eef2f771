"""Where a report goes: a text file, and the page beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from polybackfill import errors
from polybackfill.filesystem import files


def text_file(named: Path | None, default: Path, *, beside: Collection[str] = (".html",)) -> Path:
    """The text file of `--output`, or the default. `beside`: the endings of what is written next to
    it. Raises errors.Stop where the text has one of these.
    """
    file = (named or default).absolute()
    if file.suffix in beside:
        form = "Markdown" if default.suffix == ".md" else "text"
        raise errors.Stop(f"--output {file}: name the {form} file; the page goes beside it")
    return file


def write(file: Path, *, text: str, page: str) -> Path:
    """Write both; the page's file. Raises errors.Stop for a folder one may not write to."""
    page_file = file.with_suffix(".html")
    write_all({file: text, page_file: page})
    return page_file


def write_all(contents: Mapping[Path, str]) -> None:
    """Write each file whole or not at all. Raises errors.Stop for a folder one may not write to."""
    for one, content in contents.items():
        try:
            files.write_atomic(one, content.encode())
        except OSError as error:
            raise errors.Stop(
                f"--output {one} cannot be written ({error.strerror}): name a file in a folder "
                "you may write to",
                exit_code=errors.exit_code_of(error),
            ) from error
