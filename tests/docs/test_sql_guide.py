"""Every statement of docs/sql.md runs as it is written, and does what the text says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = re.findall(
    r"^```sql\n(.*?)^```$",
    (ROOT / "docs" / "sql.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


EXPORT, *READERS = re.search(
    r"^```sh\n(.*?)^```$",
    (ROOT / "docs" / "sql.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)[1].splitlines()


def statement(*parts: str) -> str:
    """The one statement of the guide that holds all of `parts`."""
    (found,) = [text for text in STATEMENTS if all(part in text for part in parts)]
    return found


@pytest.fixture(scope="module")
def filled(place):
    """Twenty wallets and twenty conditions, fetched; the store stays open for the statements."""
    wallets = [row["wallet"] for row in place.known("wallets") if not row["contract"]]
    conditions = [row["condition_id"] for row in place.known("conditions")]
    (place.folder / "list.txt").write_text("\n".join(wallets + conditions) + "\n")
    place.program("init")
    place.program("plan", "build", "--from", "list.txt")
    with subprocess.Popen(
        [sys.executable, "-m", "polybackfill", "db", "serve"],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
    ) as serving:
        try:
            assert serving.stdout is not None
            assert b"http" in serving.stdout.readline()
            place.program("run", "wallets", "conditions")
            yield place, len(wallets)
        finally:
            serving.terminate()


def ask(place, sql: str) -> list[dict]:
    answer = place.program("sql", sql, "--format", "JSONEachRow")
    return [json.loads(line) for line in answer.splitlines()]


def test_the_plan_after_a_run(filled):
    place, planned = filled
    (row,) = ask(place, statement("AS wallets FROM wallet_backfill_plan"))
    assert (row["status"], int(row["wallets"])) == ("done", planned)
    (pending,) = ask(place, statement("SELECT count()", "'pending'"))
    assert int(pending["count()"]) == 0
    assert ask(place, statement("ORDER BY last_run_at")) == []
    assert ask(place, statement("ORDER BY priority_rank")) == []


def test_the_trades_after_a_run(filled):
    place, planned = filled
    (day,) = ask(place, statement("toDate(ingested_at)"))
    (sizes,) = ask(place, statement("AS markets"))
    assert int(day["trades"]) > 8000 / 2
    assert int(day["wallets"]) == int(sizes["wallets"]) >= planned
    assert int(sizes["markets"]) >= 20
    assert len(ask(place, statement("LIMIT 10", "market_question"))) == 10
    (source,) = ask(place, statement("GROUP BY source"))
    assert source["trades"] == day["trades"]


def test_there_are_no_duplicates(filled):
    place, _ = filled
    assert ask(place, statement("HAVING copies > 1")) == []


def test_a_market_shows_its_candles(filled):
    place, _ = filled
    candles = ask(place, statement("FROM trade_candles"))
    assert candles
    for one in candles:
        assert one["low"] <= min(one["open"], one["close"])
        assert one["high"] >= max(one["open"], one["close"])
        assert int(one["fills"]) >= 1


def test_other_tools_read_the_trades(filled):
    place, _ = filled
    tools = [re.search(r"import (\w+)", line)[1] for line in READERS]
    assert tools == ["pandas", "polars", "duckdb"]
    for line in (EXPORT, *READERS):
        done = place.shell(line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    sums = "count() AS n, countIf(side = 'BUY') AS bought, sum(toInt64(shares * 1e6)) AS micro"
    (stored,) = ask(place, f"SELECT {sums} FROM external_trades_raw")
    counts = [int(stored["n"]), int(stored["bought"])]
    described = ask(place, "DESCRIBE TABLE external_trades_raw")
    reader = [sys.executable, Path(__file__).with_name("parquet_readers.py")]
    done = subprocess.run(
        [*reader, place.folder / "trades.parquet"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "pandas": counts,
        "micro": int(stored["micro"]),
        "zone": "UTC",
        "polars": counts,
        "polars_types": ["String", "Float64"],
        "duckdb": counts,
        "names": [row["name"] for row in described],
        "types": ["extension<arrow.uuid>", "string", "double"],
    }


def test_both_sources_together(filled):
    """Seed 001, pm_trades_with_external: the overlap query is available and runs as written."""
    place, _ = filled
    ask(
        place,
        "INSERT INTO pm_trades SELECT * REPLACE ('clob_fills' AS data_source) "
        "FROM pm_trades_with_external ORDER BY fill_id LIMIT 3",
    )
    try:
        found = ask(place, statement("AS fills", "pm_trades_with_external"))
        (stored,) = ask(place, "SELECT count() AS n FROM external_trades_raw")
        assert sum(int(row["fills"]) for row in found) == int(stored["n"])
        both = ask(place, statement("HAVING internal_fills"))
        assert sum(int(row["internal_fills"]) for row in both) == 3
        assert ask(place, statement("trade_overlap_suspects")) == []
    finally:
        ask(place, "TRUNCATE TABLE pm_trades")
    assert ask(place, statement("vw_trades_unified")) == []
    assert len(ask(place, statement("vw_positions_reconciled"))) == 20  # no position is read here


def test_what_a_wallet_earned(filled):
    place, _ = filled
    place.program("report", "categories")
    (busiest,) = ask(
        place,
        "SELECT wallet_address AS wallet FROM wallet_market_pnl "
        "GROUP BY wallet ORDER BY count() DESC LIMIT 1",
    )
    rows = ask(place, statement("wallet_market_pnl").replace(f"{1:040d}", busiest["wallet"]))
    assert len(rows) > 3
    assert all(bool(row["inexact_reasons"]) == (row["economic_pnl_usd"] is None) for row in rows)


def test_a_wallet_set_back_by_hand_is_fetched_by_the_next_run(filled):
    place, planned = filled
    before = ask(place, "SELECT count() AS n FROM external_trades_raw")
    ask(
        place,
        "ALTER TABLE wallet_backfill_plan UPDATE status = 'in_progress' WHERE priority_rank = 1",
    )
    ask(place, statement("UPDATE status = 'pending'"))
    (next_one,) = ask(place, statement("ORDER BY priority_rank"))
    assert int(next_one["priority_rank"]) == 1
    place.program("run", "wallets")
    (row,) = ask(place, statement("AS wallets FROM wallet_backfill_plan"))
    assert (row["status"], int(row["wallets"])) == ("done", planned)
    assert ask(place, "SELECT count() AS n FROM external_trades_raw") == before


@pytest.mark.long
def test_starting_over_gives_the_same_trades(filled):
    place, _ = filled
    ask(place, statement("CREATE TABLE external_trades_backup"))
    ask(place, statement("TRUNCATE TABLE"))
    assert ask(place, "SELECT count() AS n FROM external_trades_raw") in ([{"n": 0}], [{"n": "0"}])
    place.program("plan", "reset", "--all")
    place.program("run", "wallets", "conditions")
    assert ask(place, statement("UNION ALL")) == []
    (kept,) = ask(place, "SELECT count() AS n FROM external_trades_backup")
    (fresh,) = ask(place, "SELECT count() AS n FROM external_trades_raw")
    assert fresh == kept
    ask(place, statement("DROP TABLE"))


def test_no_statement_is_left_out():
    """Each is executed above; a new one needs its test."""
    assert len(STATEMENTS) == 21
