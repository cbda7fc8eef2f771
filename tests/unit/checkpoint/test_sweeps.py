"""A reading of a list goes on until it is complete, then the next one begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill import errors
from polybackfill.checkpoint import sweeps


def test_a_reading_goes_on_until_it_is_complete(tmp_path: Path) -> None:
    book = sweeps.Sweeps(tmp_path)
    assert book.current("markets") is None
    book.begin("markets", "a")
    assert sweeps.Sweeps(tmp_path).current("markets") == "a"
    assert sweeps.Sweeps(tmp_path).current("events") is None
    book.complete("markets")
    assert sweeps.Sweeps(tmp_path).current("markets") is None
    book.begin("markets", "b")
    assert sweeps.Sweeps(tmp_path).current("markets") == "b"


def test_a_list_and_everything_read_for_themselves(tmp_path: Path) -> None:
    everything = sweeps.Sweeps(tmp_path)
    everything.begin("positions", sweeps.name(1_795_000_000))
    of_list = sweeps.Sweeps(tmp_path, listed_only=True)
    assert of_list.current("positions") is None
    name = sweeps.name(1_795_000_000, listed_only=True)
    of_list.begin("positions", name)
    assert sweeps.is_of_list(name)
    of_list.complete("positions")
    everything = sweeps.Sweeps(tmp_path)
    assert everything.current("positions") == sweeps.name(1_795_000_000)
    assert not sweeps.is_of_list(sweeps.name(1_795_000_000))
    assert everything.of_list("positions") == name, "the newest, complete or not"
    everything.drop_of_list("positions")
    assert sweeps.Sweeps(tmp_path).of_list("positions") is None
    assert sweeps.Sweeps(tmp_path).current("positions") is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"markets": 7}'])
def test_a_file_that_says_nothing_begins_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / sweeps.FILE).write_bytes(content)
    book = sweeps.Sweeps(tmp_path)
    assert book.current("markets") is None
    book.begin("markets", "a")
    assert sweeps.Sweeps(tmp_path).current("markets") == "a"


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    book = sweeps.Sweeps(tmp_path / "gone")
    with pytest.raises(errors.Stop, match=r"cannot write .*sweeps\.json"):
        book.begin("markets", "a")


def test_a_name_tells_when_the_reading_began() -> None:
    assert sweeps.began(sweeps.name(1_795_000_000.7)) == 1_795_000_000
