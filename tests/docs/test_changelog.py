"""CHANGELOG.md has the form that its head names, and every tag has its section."""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path

from tests.docs import release_notes

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
VERSIONS = release_notes.split_versions(TEXT)


def number(version: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    assert match, version
    return tuple(map(int, match.groups()))


def test_unreleased_comes_first_then_versions_with_their_day_the_newest_first():
    first, *released = VERSIONS
    assert first == "Unreleased"
    assert VERSIONS["Unreleased"][0] is None
    assert sorted(released, key=number, reverse=True) == released
    days = [datetime.date.fromisoformat(VERSIONS[version][0]) for version in released]
    assert sorted(days, reverse=True) == days


def test_each_change_is_of_a_known_kind():
    assert set(re.findall(r"^## (.+)$", TEXT, re.MULTILINE)) == {
        head[0].removeprefix("## ") for head in release_notes.HEAD.finditer(TEXT)
    }
    for version, (_, text) in VERSIONS.items():
        kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds], version


def test_every_tag_has_its_section():
    listed = subprocess.run(
        ["git", "tag", "--list", "v[0-9]*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for tag in listed.stdout.split():
        assert VERSIONS.get(tag.removeprefix("v"), (None, ""))[0], tag


def test_what_is_said_of_a_version_ends_before_the_next():
    text = (
        "# C\n\n## [Unreleased]\n\n## [0.3.0] - 2026-12-24\n\n- b\n\n## [0.2.0] - 2026-12-01\n- a"
    )
    assert release_notes.split_versions(text) == {
        "Unreleased": (None, ""),
        "0.3.0": ("2026-12-24", "- b"),
        "0.2.0": ("2026-12-01", "- a"),
    }


def test_a_version_without_a_section_is_refused():
    done = subprocess.run(
        ["make", "--silent", "notes", "ARGS=v99.0.0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "## [99.0.0] - YYYY-MM-DD" in done.stderr
    assert not done.stdout
