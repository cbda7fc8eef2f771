"""All recorded markets through the real command: each is stored as its file shows it, or counted.

What must be stored is read from the files here, by nothing the program or the sandbox share.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests import harness
from tests.commands import desk as desks

from .conftest import NewDesk

COMPACT = "gamma-markets-compact-open-universe-wakeupnemo.jsonl.gz"
RAW = "gamma-markets-raw-pages-wakeupnemo.jsonl.gz"
RESOLVED = "gamma-markets-resolved-btc5m-ligengxin96.jsonl"
TAGGED = "gamma-markets-trimmed-with-tags-johnstew324.json.gz"
SEED = "seed-markets-dim-cascadian.json.gz"
# The order-free digest of lines: the sum of the first eight bytes of each MD5, modulo 2^64.
OPEN_MARKETS = """
SELECT count() AS rows, toString(sum(reinterpretAsUInt64(reverse(substring(MD5(concat(
    condition_id, '|', market_id, '|', market_slug, '|', question, '|',
    arrayStringConcat(outcomes, ','), '|', arrayStringConcat(token_ids, ','), '|',
    toString(toUInt8(neg_risk)), '|', toString(toInt64(round(volume * 1e3))), '|', event_id
)), 1, 8))))) AS digest
FROM api_markets_staging WHERE NOT closed AND market_id NOT IN ({fuller})
"""

# Small files show some of the same markets later, or with more fields.
FULLER = ("gamma-event-*.json", "gamma-market-*.json", "mixed-*.json")

pytestmark = [pytest.mark.recorded, pytest.mark.long]
Row = dict[str, Any]


def read(folder: Path, name: str) -> list[Row]:
    """The rows of a file: an array, or one a line."""
    stored = (folder / name).read_bytes()
    content = gzip.decompress(stored) if name.endswith(".gz") else stored
    if ".jsonl" in name:
        return [json.loads(line) for line in content.splitlines()]
    return cast(list[Row], json.loads(content))


def objects(held: object, *fields: str) -> Iterator[Row]:
    """Every object with these fields, wherever it stands in an answer."""
    if isinstance(held, dict) and all(name in held for name in fields):
        yield held
    inner = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    for value in inner:
        yield from objects(value, *fields)


def fuller(folder: Path, *fields: str) -> list[Row]:
    """The objects of the small files."""
    paths = (path for pattern in FULLER for path in sorted(folder.glob(pattern)))
    return [row for path in paths for row in objects(json.loads(path.read_bytes()), *fields)]


def bare(condition: str) -> str:
    return condition.lower().removeprefix("0x")


@pytest.fixture(scope="module")
def stored(new_desk: NewDesk, replayed: harness.Sandbox) -> desks.Desk:
    """All lists of the recordings, read once."""
    desk = new_desk(replayed.url)
    desk.call("run", "markets", "events", within_s=120)
    return desk


def digest(lines: Iterable[str]) -> str:
    heads = (hashlib.md5(line.encode(), usedforsecurity=False).digest()[:8] for line in lines)
    return str(sum(int.from_bytes(head, "big") for head in heads) % 2**64)


def open_line(row: Row) -> str:
    """One market of the open universe, as OPEN_MARKETS puts it together."""
    texts = (",".join(json.loads(row[name] or "[]")) for name in ("outcomes", "clobTokenIds"))
    events = row.get("events") or [{"id": ""}]
    volume = round((row.get("volumeNum") or 0) * 1000)
    names = (bare(row["conditionId"]), row["id"], row["slug"], row["question"])
    end = (f"{bool(row.get('negRisk')):d}", str(volume), str(events[0]["id"]))
    return "|".join((*names, *texts, *end))


def test_the_whole_open_universe_is_stored_field_by_field(
    stored: desks.Desk, recorded_dir: Path
) -> None:
    """Statement 7 of the issue: 35,955 compact and 3,330 raw markets."""
    compact = {row["id"]: row for row in read(recorded_dir, COMPACT)}
    raw = [row for page in read(recorded_dir, RAW) for row in page["markets"]]
    assert (len(compact), len(raw)) == (35_955, 3_330)
    compact |= {row["id"]: row for row in raw}
    elsewhere = {str(row["id"]) for row in fuller(recorded_dir, "conditionId", "id")}
    chosen = [row for number, row in compact.items() if number not in elsewhere]
    assert len(chosen) > 35_900
    listed = ", ".join(f"'{number}'" for number in sorted(elsewhere))
    expected = [{"rows": len(chosen), "digest": digest(map(open_line, chosen))}]
    assert stored.sql(OPEN_MARKETS.format(fuller=listed)) == expected


def test_all_tables_equal_the_truth_and_nothing_is_set_aside(
    stored: desks.Desk, replayed: harness.Sandbox
) -> None:
    truth, found = harness.true_tables(replayed), stored.tables()
    for name in ("markets", "events"):
        assert found[name] == truth[name], name
    assert stored.value("SELECT count() FROM quarantine") == 0


def test_resolved_markets_have_their_winner(stored: desks.Desk, recorded_dir: Path) -> None:
    """Statement 7 of the issue: 292 resolved markets."""
    rows = [row["raw"] for row in read(recorded_dir, RESOLVED)]
    won = {bare(row["conditionId"]): json.loads(row["outcomePrices"]).index("1") for row in rows}
    assert len(won) == 292
    stored.call("run", "resolutions", "--condition-id", stored.file("resolved.txt", won))
    found = stored.sql(
        "SELECT condition_id, winning_outcome, indexOf(payouts, 1) - 1 AS paid "
        "FROM api_markets_staging AS markets INNER JOIN api_resolutions USING (condition_id) "
        "WHERE markets.resolved"
    )
    known = {row["condition_id"]: (row["winning_outcome"], row["paid"]) for row in found}
    assert known == {condition: (outcome, outcome) for condition, outcome in won.items()}
    assert stored.sql("SELECT * FROM resolution_disagreements") == []


def test_tagged_markets_keep_their_tags(stored: desks.Desk, recorded_dir: Path) -> None:
    """Statement 7 of the issue: 5,711 tagged markets. Their author kept the slugs of the tags; the
    labels are those of genuine events, or follow from the slug."""
    rows = [row for row in read(recorded_dir, TAGGED) if row["conditionId"]]
    genuine = {tag["slug"]: tag["label"] for tag in fuller(recorded_dir, "slug", "label", "id")}
    found = stored.sql("SELECT condition_id, tags FROM api_markets_staging WHERE notEmpty(tags)")
    tags = {row["condition_id"]: set(row["tags"]) for row in found}
    lost = []
    for row in rows:
        wanted = {genuine.get(slug, slug.replace("-", " ").title()) for slug in row["tags"]}
        if not wanted <= tags.get(bare(row["conditionId"]), set()):
            lost.append(row)
    assert (len(rows), lost) == (5_689, [])


def test_markets_without_a_condition_are_kept_apart(stored: desks.Desk, recorded_dir: Path) -> None:
    """Statement 7 of the issue: the other 22 tagged ones, each counted."""
    drafts = [row for row in read(recorded_dir, TAGGED) if not row["conditionId"]]
    apart = stored.sql("SELECT question, tags FROM api_markets_without_condition")
    assert len(drafts) == 22
    assert sorted(row["question"] for row in apart) == sorted(row["question"] for row in drafts)
    assert all(row["tags"] for row in apart)


def test_the_ids_of_the_dimension_seed_are_stored(stored: desks.Desk, recorded_dir: Path) -> None:
    """Statement 7 of the issue: the seed's 5,781 pairs of condition and market id."""
    seeds = {bare(row["condition_id"]): str(row["market_id"]) for row in read(recorded_dir, SEED)}
    assert len(seeds) == 5_781
    found = stored.sql("SELECT condition_id, market_id FROM api_markets_staging WHERE closed")
    known = {row["condition_id"]: row["market_id"] for row in found}
    open_ids = {row["id"] for row in read(recorded_dir, COMPACT)}
    missing = {c: n for c, n in seeds.items() if n not in open_ids and known.get(c) != n}
    assert missing == {}
