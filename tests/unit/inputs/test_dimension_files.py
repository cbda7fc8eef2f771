"""Seed files: written as a bare array, read however they are laid out, again when they change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.inputs import dimension_files

ROWS: list[dict[str, Any]] = [
    {"condition_id": "0xaa", "question": 'A "quoted" line\nbreak, é, ]}', "payout_yes": 0},
    {"condition_id": "0xbb", "question": "", "payout_yes": 0.37},
    {"condition_id": "0xcc", "question": "{", "payout_yes": None},
]


async def pieces(text: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_written_is_a_bare_array(tmp_path: Path, size: int, count: int) -> None:
    path = tmp_path / dimension_files.MARKETS_FILE
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS[:count])
    asyncio.run(dimension_files.write(path, pieces(lines, size)))
    assert json.loads(path.read_bytes()) == ROWS[:count]
    assert list(dimension_files.rows(path)) == ROWS[:count]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / dimension_files.MARKETS_FILE
    path.write_text("[]")

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"condition_id": "0xaa"}\n'
        raise errors.Retry("the answer broke off")

    with pytest.raises(errors.Retry):
        asyncio.run(dimension_files.write(path, broken()))
    assert path.read_text() == "[]"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [ROWS, {"markets": ROWS}, {"events": ROWS, "generated_at": "today"}],
    ids=["bare", "markets", "events"],
)
@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "indented"])
def test_bare_and_wrapped(tmp_path: Path, content: object, indent: int | None) -> None:
    """Seed 004, dimension build: both bare-array and wrapped input accepted by readers."""
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(content, indent=indent))
    assert list(dimension_files.rows(path)) == ROWS


@pytest.mark.parametrize(
    "content", ["", "{", '{"wallets": []}', "[1]", '"text"', "[\n{},\n{\n]\n", "[\n{},\n7\n]\n"]
)
def test_a_file_that_is_no_seed_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "seed.json"
    path.write_text(content)
    with pytest.raises(errors.Stop, match=r"seed\.json is no seed file"):
        list(dimension_files.rows(path))


def test_the_cache_follows_the_file(tmp_path: Path) -> None:
    """Seed 004, watchlist: cache reload possible; missing dimension file works."""
    path = tmp_path / "seed.json"
    cache = dimension_files.Cache(path, "condition_id")
    assert cache.missing
    assert cache.get(["0xaa"]) == {}
    path.write_text(json.dumps(ROWS[:1]))
    assert not cache.missing
    assert cache.get(["0xaa", "0xbb"]) == {"0xaa": ROWS[0]}
    path.write_text(json.dumps(ROWS))
    assert cache.get(["0xaa", "0xbb"]) == {"0xaa": ROWS[0], "0xbb": ROWS[1]}
    assert cache.get(["0xcc"]) == {"0xcc": ROWS[2]}
    assert cache.get([]) == {}
    path.unlink()
    assert cache.get(["0xaa"]) == {}
    path.write_text(json.dumps(ROWS))
    cache.reload()
    assert cache.get(["0xaa"]) == {"0xaa": ROWS[0]}
