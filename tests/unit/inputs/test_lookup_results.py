"""The file of looked-up market ids: appended, read in any state, put together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polybackfill import errors
from polybackfill.inputs import lookup_results

DAY_S = 86_400
NOW = 1_795_219_200.0


def condition(number: int) -> str:
    return f"{number:064x}"


def hit(number: int, market: str = "") -> lookup_results.Hit:
    return lookup_results.Hit(condition(number), market or str(500 + number), "gamma", ("1", "2"))


def told_by(folder: Path, *lines: object) -> lookup_results.LookupResults:
    path = folder / lookup_results.RESULTS
    path.write_bytes(
        b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)
    )
    return lookup_results.read(path)


def test_what_is_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    """Seed 004, market-id resolver: JSONL append-only and resumable."""
    book = lookup_results.ResultsFile(tmp_path)
    assert book.due(condition(1))
    book.append([hit(1)], [book.miss(condition(2), "api_404", NOW)], NOW)
    again = lookup_results.ResultsFile(tmp_path)
    assert again.results.hits == {condition(1): hit(1)}
    assert not again.due(condition(1))
    assert again.due(condition(2))
    before = (tmp_path / lookup_results.RESULTS).read_bytes()
    again.append([hit(2)], [], NOW)
    assert (tmp_path / lookup_results.RESULTS).read_bytes().startswith(before)
    assert lookup_results.ResultsFile(tmp_path).results.misses == {}


def test_tries_count_by_day_and_end_after_seven(tmp_path: Path) -> None:
    """Seed 004, ingestion resolver: retry daily, lookup_failed after 7; JSONL on failure."""
    for day in range(lookup_results.MAX_TRIES):
        book = lookup_results.ResultsFile(tmp_path)
        assert book.due(condition(1))
        for hour in (0, 3):
            now = NOW + day * DAY_S + hour * 3600
            miss = book.miss(condition(1), "market_id_not_found", now)
            assert miss.retry_count == day + 1
            book.append([], [miss], now)
    book = lookup_results.ResultsFile(tmp_path)
    assert not book.due(condition(1))
    assert book.results.misses[condition(1)].status == "lookup_failed"
    lines = [
        json.loads(line) for line in (tmp_path / lookup_results.FAILED).read_text().splitlines()
    ]
    assert len(lines) == 2 * lookup_results.MAX_TRIES
    assert lines[0] == {
        "timestamp": "2026-11-21T00:00:00+00:00",
        "condition_id": f"0x{condition(1)}",
        "reason": "market_id_not_found",
        "retry_count": 1,
        "status": "pending_lookup",
    }
    assert lines[-1]["status"] == "lookup_failed"


def test_a_torn_line_ends_where_the_next_one_begins(tmp_path: Path) -> None:
    """Seed 004, market-id resolver: a torn last line is survived."""
    book = lookup_results.ResultsFile(tmp_path)
    book.append([hit(1), hit(2)], [], NOW)
    path = tmp_path / lookup_results.RESULTS
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        torn = lookup_results.ResultsFile(tmp_path)
        torn.append([hit(3)], [], NOW)
        told = lookup_results.read(path)
        assert condition(3) in told.hits
        assert set(told.hits) <= {condition(1), condition(2), condition(3)}
        assert all(one.market_id != "50" for one in told.hits.values())


def test_finalize_filters_counts_and_reports(tmp_path: Path) -> None:
    """Seed 004, finalize lookup: null/empty/unknown filtered and counted; parse errors counted;
    conflicts reported; success_rate correct.
    """
    told = told_by(
        tmp_path,
        {"condition_id": f"0x{condition(1)}", "market_id": "501"},
        {"condition_id": condition(1).upper(), "market_id": 501},
        {"condition_id": condition(2), "market_id": None},
        {"condition_id": condition(3), "market_id": ""},
        {"condition_id": condition(4), "market_id": "Unknown"},
        {"condition_id": condition(5), "market_id": "505"},
        {"condition_id": condition(5), "market_id": "506"},
        {"condition_id": condition(5), "market_id": "505"},
        {"condition_id": condition(6), "market_id": None, "reason": "api_404", "retry_count": 3},
        {"condition_id": condition(7), "market_id": "unknown"},
        {"condition_id": condition(7), "market_id": "507"},
        {"condition_id": "0x12", "market_id": "508"},
        {"condition_id": condition(8), "market_id": "twelve"},
        b"not json\n",
        b'{"condition_id": "0x',
    )
    document = lookup_results.finalized(told, "now")
    assert document["metadata"] == {
        "generated_at": "now",
        "total_lookups": 8,
        "valid_mappings": 2,
        "invalid_mappings": 6,
        "success_rate": 25.0,
        "lines": 15,
        "repeated_lines": 4,
        "parse_errors": 3,
        "conflicts": 1,
    }
    assert [one["market_id"] for one in document["mappings"]] == ["501", "507"]
    assert document["conflicts"] == [
        {"condition_id": f"0x{condition(5)}", "market_ids": ["505", "506"]}
    ]
    assert {one["reason"] for one in document["invalid_samples"]} == {
        "invalid_market_id", "api_404"
    }  # fmt: skip


def test_success_rate_of_nothing_is_null() -> None:
    document = lookup_results.finalized(lookup_results.LookupResults(), "now")
    assert document["metadata"]["success_rate"] is None


@pytest.mark.parametrize("wrap", [None, "mappings", "valid_backfill_mappings"])
def test_maps_are_read_bare_and_wrapped(tmp_path: Path, wrap: str | None) -> None:
    rows = [{"condition_id": condition(1), "market_id": "501"}]
    path = tmp_path / "map.json"
    path.write_bytes(orjson.dumps(rows if wrap is None else {wrap: rows}))
    assert lookup_results.read_any(path).hits[condition(1)].market_id == "501"


def test_a_map_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    with pytest.raises(errors.Stop, match="does not exist"):
        lookup_results.read_any(path)
    path.write_text("{")
    with pytest.raises(errors.Stop, match="is not JSON"):
        lookup_results.read_any(path)
    path.write_text("[1]")
    assert lookup_results.read_any(path).parse_errors == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def test_no_state_excludes_another_by_accident() -> None:
    """Every order of a hit, another hit, a miss and an invalid line leaves one state."""
    kinds: list[dict[str, object]] = [
        {"market_id": "1"},
        {"market_id": "2"},
        {"market_id": None, "reason": "api_404"},
        {"market_id": "unknown"},
    ]
    for order in itertools.product(kinds, repeat=4):
        told = lookup_results.LookupResults()
        for line in order:
            told.add_line({"condition_id": condition(1), **line})
        states = [told.hits, told.misses, told.conflicts, told.invalid]
        assert sum(condition(1) in state for state in states) == 1
        assert told.repeated == 3
        markets = {line["market_id"] for line in order} & {"1", "2"}
        assert (condition(1) in told.conflicts) == (len(markets) == 2)
        assert (condition(1) in told.hits) == (len(markets) == 1)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "condition_id": st.sampled_from([condition(1), condition(2)]) | JSON,
                "market_id": st.sampled_from(["1", "2", 3, "", "unknown"]) | JSON,
                "reason": JSON,
                "retry_count": JSON,
                "token_ids": JSON,
                "asked_at": JSON,
            },
        )
        | JSON
    )
)
def test_no_line_is_lost_or_counted_twice(rows: list[object]) -> None:
    told = lookup_results.LookupResults()
    for row in rows:
        told.add_line(row)
    states = [set(told.hits), set(told.misses), set(told.conflicts), set(told.invalid)]
    assert sum(map(len, states)) == len(set.union(*states))
    assert told.lines == len(rows) == told.parse_errors + told.repeated + sum(map(len, states))
    metadata = lookup_results.finalized(told, "now")["metadata"]
    assert metadata["valid_mappings"] + metadata["invalid_mappings"] == metadata["total_lookups"]
