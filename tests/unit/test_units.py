"""Units: identity, halves, batches."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from polybackfill import units


def test_an_id_names_kind_key_and_window() -> None:
    assert units.Unit(units.WALLETS, ("ab",)).id == "wallets:ab"
    assert units.Unit(units.WALLETS, ("ab",), 5, 9).id == "wallets:ab:5-9"
    assert units.Unit(units.WALLETS, ("ab",), until=9).id == "wallets:ab:-9"


def test_an_id_of_a_batch_depends_on_the_keys_and_not_on_their_order_or_size() -> None:
    batch = units.Unit(units.CONDITIONS, ("a", "b", "c"), expected_rows=7)
    turned = units.Unit(units.CONDITIONS, ("c", "a", "b"), expected_rows=9)
    other = units.Unit(units.CONDITIONS, ("a", "b", "d"))
    assert batch.id == turned.id
    assert batch.id != other.id
    assert batch.id.startswith("conditions:3x")


@pytest.mark.parametrize(
    ("kind", "keys", "since", "until"),
    [
        ("", ("a",), None, None),
        ("wallets", (), None, None),
        ("wallets", ("",), None, None),
        ("wallets", ("a", "a"), None, None),
        ("wallets", ("a",), 5, 4),
    ],
)
def test_a_unit_that_means_nothing_is_refused(
    kind: str, keys: tuple[str, ...], since: int | None, until: int | None
) -> None:
    with pytest.raises(ValueError, match="unit"):
        units.Unit(kind, keys, since, until)


def test_expected_rows_are_a_hint_and_no_part_of_the_identity() -> None:
    unit = units.Unit(units.WALLETS, ("a",), expected_rows=1)
    assert unit == dataclasses.replace(unit, expected_rows=2)


def test_halves_share_the_window_and_hold_every_key_once() -> None:
    unit = units.Unit(units.CONDITIONS, tuple("abcde"), 1, 2, expected_rows=10)
    first, second = units.split(unit)
    assert first.keys + second.keys == unit.keys
    assert first.window == second.window == (1, 2)
    assert {first.expected_rows, second.expected_rows} == {5}


def test_a_single_key_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="one key"):
        units.split(units.Unit(units.WALLETS, ("a",)))


def test_the_sweep_of_a_unit_is_part_of_its_keys_and_of_nothing_that_is_asked_for() -> None:
    sweep = "20261121T200000Z"
    unit = units.Unit("positions", tuple(units.mark_key(key, sweep) for key in ("ab", "cd")))
    assert unit.keys == (f"ab@{sweep}", f"cd@{sweep}")
    assert (unit.sweep, unit.bare_keys) == (sweep, ("ab", "cd"))
    assert [half.bare_keys for half in units.split(unit)] == [("ab",), ("cd",)]
    assert {half.sweep for half in units.split(unit)} == {sweep}
    once = units.Unit("wallets", ("ab",))
    assert (once.sweep, once.bare_keys, units.mark_key("ab", "")) == ("", ("ab",), "ab")


def test_a_checkpoint_tells_a_unit_as_ever() -> None:
    unit = units.Unit("positions", ("ab@7",))
    assert unit.bare_keys == ("ab",)
    written = b'{"kind":"positions","keys":["ab@7"],"since":null,"until":null,"expected_rows":0}'
    assert msgspec.json.encode(unit) == written
    assert msgspec.json.decode(written, type=units.Unit).sweep == "7"


def test_the_halves_of_a_span_belong_to_its_sweep() -> None:
    unit = units.Unit("markets", ("open:0..86400@7",))
    early, late = units.split(unit)
    assert (early.keys, late.keys) == (("open:0..43200@7",), ("open:43200..86400@7",))
    known = {*early.keys, *late.keys}
    assert list(units.parts(unit, known.__contains__)) == [early, late]
    assert list(units.parts(unit, {"open:0..43200"}.__contains__)) == [unit], "of another sweep"


def test_small_markets_share_a_batch_up_to_the_limit_of_the_api() -> None:
    packed = list(units.pack([(f"{number}", 1) for number in range(45)]))
    assert [len(unit.keys) for unit in packed] == [20, 20, 5]
    assert [unit.expected_rows for unit in packed] == [20, 20, 5]


def test_a_big_market_travels_alone_and_leaves_the_batch_around_it_whole() -> None:
    packed = list(units.pack([("a", 10), ("big", 5_000), ("b", 10)]))
    assert [unit.keys for unit in packed] == [("big",), ("a", "b")]


def test_a_batch_is_cut_when_its_rows_get_many() -> None:
    packed = list(units.pack([("a", 4_000), ("b", 4_000), ("c", 4_000)]))
    assert [unit.keys for unit in packed] == [("a", "b"), ("c",)]


def test_packing_reads_only_what_the_next_batch_needs() -> None:
    read = []

    def listed() -> object:
        for number in range(1_000):
            read.append(number)
            yield f"{number}", 1

    packed = units.pack(listed(), window=(3, None))  # type: ignore[arg-type]
    assert next(packed).window == (3, None)
    assert len(read) == 21
