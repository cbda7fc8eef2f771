"""What the documents name exists: links, settings, commands and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from polybackfill import cli, settings

ROOT = Path(__file__).resolve().parents[2]
TOP = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
GUIDES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
TYPED = re.compile(r"^(?:(?:nohup|until|sudo -u polybackfill) )?polybackfill (.+)$")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KNOWN = {
    f"{model.model_config.get('env_prefix')}{name}".upper()
    for model in (
        settings.BackfillSettings,
        settings.ClickHouseSettings,
        settings.WatchlistSettings,
    )
    for name in model.model_fields
} | {"BACKFILL_CONFIG"}

every_guide = pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)


def typed_commands(text: str) -> list[str]:
    """Everything after `polybackfill` in fenced blocks and inline code, a word list each."""
    blocks = [block for language, block in FENCED.findall(text) if language in ("sh", "text")]
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`]+)`", FENCED.sub("", text).replace("\n", " "))
    found = [TYPED.match(piece.strip()) for piece in lines + inline]
    return [match.group(1) for match in found if match]


def words(command: str) -> list[str]:
    """The words of a command as a shell passes them on; redirections and `do` are the shell's."""
    kept = re.split(r"\s*(?:[;<>|&]|2>&1|#)", command.replace("\\", ""), maxsplit=1)[0]
    return shlex.split(kept if kept.count('"') % 2 == 0 else command)


@every_guide
def test_links_lead_somewhere(guide):
    text = guide.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)", FENCED.sub("", text))
    for target in targets:
        if not target.startswith("https://"):
            assert (guide.parent / target).is_file(), target


@every_guide
def test_settings_that_are_named_exist(guide):
    text = guide.read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:BACKFILL|CLICKHOUSE)_[A-Z_]+[A-Z]\b", text))
    assert named <= KNOWN


@every_guide
def test_commands_that_are_named_can_be_typed(guide):
    parser = cli.build_parser()
    for command in typed_commands(guide.read_text(encoding="utf-8")):
        typed = words(command)
        if typed and not set(command) & set("[…]"):
            parsed = parser.parse_args(typed)
            assert hasattr(parsed, "command"), command


def test_the_readme_can_be_read_over_a_coffee():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150


def test_the_readme_leads_to_every_guide():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for guide in GUIDES[1:]:
        assert f"({guide.relative_to(ROOT)})" in text
