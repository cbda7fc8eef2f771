"""The set of finished keys."""

from __future__ import annotations

import random
import tracemalloc

from polybackfill.checkpoint import done_index


def test_what_went_in_is_found_and_nothing_else() -> None:
    done = done_index.DoneIndex()
    inside = [done_index.entry("wallets", f"{number:040x}", number % 3) for number in range(3_000)]
    for one in inside:
        done.add(one)
    assert all(one in done for one in inside)
    assert not any(
        done_index.entry("wallets", f"{number:040x}", number % 3 + 3) in done
        for number in range(3_000)
    )
    assert done_index.entry("conditions", f"{0:040x}", 0) not in done


def test_adding_twice_counts_once() -> None:
    done = done_index.DoneIndex()
    for _ in range(2):
        done.add(done_index.entry("wallets", "a", 4))
    assert len(done) == done.count([4]) == 1


def test_a_key_goes_in_every_window_and_its_neighbours_stay() -> None:
    done = done_index.DoneIndex()
    for window in (0, 1, 2):
        done.add(done_index.entry("wallets", "a", window))
        done.add(done_index.entry("wallets", "b", window))
    assert done.drop_key(done_index.entry("wallets", "a", 0))
    assert not done.drop_key(done_index.entry("wallets", "a", 0))
    assert done_index.entry("wallets", "a", 1) not in done
    assert [done.count([window]) for window in (0, 1, 2)] == [1, 1, 1]


def test_windows_go_as_a_whole() -> None:
    done = done_index.DoneIndex()
    for number in range(500):
        done.add(done_index.entry("wallets", str(number), number % 2))
    done.drop_windows({1})
    assert done.count([0]) == len(done) == 250
    assert done_index.entry("wallets", "1", 1) not in done


def test_packed_entries_load_as_if_added_one_by_one() -> None:
    entries = [done_index.entry("wallets", str(number), number % 300) for number in range(2_000)]
    one_by_one, packed = done_index.DoneIndex(), done_index.DoneIndex()
    for one in entries:
        one_by_one.add(one)
    packed.load(b"".join(entries))
    assert all(one in packed for one in entries)
    assert [packed.count([w]) for w in range(300)] == [one_by_one.count([w]) for w in range(300)]


def test_a_slot_is_never_found_across_the_border_of_two_others() -> None:
    # Two entries of one bucket whose bytes, read across their border, look like a third.
    tail = bytes(range(16))
    done = done_index.DoneIndex()
    done.load(b"\0\0" + tail[8:] + tail[:8] + b"\0\0" + tail[8:] + tail[:8])
    assert b"\0\0" + tail not in done
    assert b"\0\0" + tail[8:] + tail[:8] in done


def test_a_hundred_thousand_keys_cost_a_few_megabytes() -> None:
    rng = random.Random(1)
    packed = b"".join(rng.randbytes(14) + b"\0\0\0\0" for _ in range(100_000))
    tracemalloc.start()
    try:
        done = done_index.DoneIndex()
        done.load(packed)
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(done) == 100_000
    assert used_bytes < 8_000_000
