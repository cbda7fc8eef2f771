"""Prints what CHANGELOG.md says of one version; exits with 1 when it says nothing.

The workflow that publishes a tag begins with it: a version without its section is not released.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<day>\S+))?$", re.MULTILINE)


def split_versions(changelog: str) -> dict[str, tuple[str | None, str]]:
    """Version → its day (None of what is unreleased) and its text, in the order of the file."""
    heads = list(HEAD.finditer(changelog))
    ends = [head.start() for head in heads[1:]] + [len(changelog)]
    return {
        head["version"]: (head["day"], changelog[head.end() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    }


def main() -> int:
    """Print the section of the version that was typed, with or without the `v` of its tag."""
    version = " ".join(sys.argv[1:]).removeprefix("v")
    versions = split_versions((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    day, text = versions.get(version, (None, ""))
    if not (day and text):
        print(f"CHANGELOG.md has no section ## [{version}] - YYYY-MM-DD", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
