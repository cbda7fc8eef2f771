"""Where a report goes: a Markdown file, and the page beside it."""

from __future__ import annotations

from pathlib import Path

from polybackfill import errors
from polybackfill.filesystem import files


def text_file(named: Path | None, default: Path) -> Path:
    """The Markdown file of `--output`, or the default. Raises errors.Stop where it is the page's
    own name.
    """
    file = (named or default).absolute()
    if file.with_suffix(".html") == file:
        raise errors.Stop(f"--output {file}: name the Markdown file; the page goes beside it")
    return file


def write(file: Path, *, text: str, page: str) -> Path:
    """Write both; the page's file. Raises errors.Stop for a folder one may not write to."""
    page_file = file.with_suffix(".html")
    for one, content in ((file, text), (page_file, page)):
        try:
            files.write_atomic(one, content.encode())
        except OSError as error:
            raise errors.Stop(
                f"--output {one} cannot be written ({error.strerror}): name a file in a folder "
                "you may write to",
                exit_code=errors.exit_code_of(error),
            ) from error
    return page_file
