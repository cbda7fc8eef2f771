"""`market-ids lookup`, `finalize`, `apply`, `status`: from the sandbox's Gamma into the table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

from polybackfill.filesystem import host_lock

UNLISTED = "market_unlisted"
SEEDS = ("markets_dim_seed.json", "events_dim_seed.json")
BREAKDOWN = "wallet_category_breakdown.json"


class Office:
    """A desk whose store holds the trades of all conditions of the sandbox, without market ids."""

    def __init__(self, desk: desks.Desk, sandbox: harness.Sandbox) -> None:
        self.desk, self.sandbox = desk, sandbox
        self.results = desk.data / "market_id_lookup_results.jsonl"
        self.final = desk.data / "market_id_lookup_results.json"
        self.truth = {
            desks.bare([market["condition_id"]])[0]: market["market_id"]
            for market in sandbox.lines("markets")
            if market["condition_id"]
        }
        special = sandbox.ask("universe")["special"]
        self.unlisted = desks.bare([special[UNLISTED]])[0]
        self.traded = {
            row["condition_id"]: row["n"]
            for row in desk.sql(
                "SELECT condition_id, count() AS n FROM external_trades_raw GROUP BY condition_id"
            )
        }

    def clear(self) -> None:
        """As before the first lookup."""
        others = (self.desk.data / name for name in (*SEEDS, BREAKDOWN))
        for path in (self.results, self.final, *others):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.desk.data / "runtime", ignore_errors=True)
        for table in (
            "condition_market_id_rows",
            "market_id_fills",
            "market_id_apply_log",
            "api_market_rows",
            "trades_raw",
        ):
            self.desk.sql(f"TRUNCATE TABLE {table}")
        self.desk.sql("ALTER TABLE external_trades_raw UPDATE market_id = '' WHERE 1")

    def lines(self) -> list[dict[str, Any]]:
        """What the results file says."""
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def stored(self) -> dict[str, str]:
        """Condition → market id of its trades; one each."""
        rows = self.desk.sql("SELECT DISTINCT condition_id, market_id FROM external_trades_raw")
        found = {row["condition_id"]: row["market_id"] for row in rows}
        assert len(found) == len(rows)
        return found


@pytest.fixture(scope="module")
def equipped(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> Office:
    shared_sandbox.reset()
    desk = new_desk(shared_sandbox.url)
    desk.move_out()
    listed = [word for key in shared_sandbox.conditions for word in ("--condition-id", key)]
    desk.call("run", "conditions", *listed)
    return Office(desk, shared_sandbox)


@pytest.fixture
def office(equipped: Office, sandbox: harness.Sandbox) -> Office:
    assert sandbox is equipped.sandbox
    equipped.clear()
    return equipped


def test_what_gamma_lists_is_found_and_every_miss_has_a_reason(office: Office) -> None:
    """Seed 004, market-id resolver: accepts only answers whose condition equals the request;
    JSONL append-only and resumable; misses recorded with reason; nothing written to the database.
    """
    said = office.desk.json("market-ids", "lookup", "--workers", 5, "--batch", 7)
    assert said["found"] == len(office.traded) - 1
    assert said["reasons"] == {"market_id_not_found": 1}
    lines = office.lines()
    hits = {desks.bare([line["condition_id"]])[0]: line for line in lines if line["market_id"]}
    assert {key: line["market_id"] for key, line in hits.items()} == {
        key: office.truth[key] for key in office.traded if key != office.unlisted
    }
    assert {line["tokens"] for line in hits.values()} <= {"fit", "traded"}
    (miss,) = (line for line in lines if not line["market_id"])
    assert miss["condition_id"] == f"0x{office.unlisted}"
    assert (miss["reason"], miss["retry_count"]) == ("market_id_not_found", 1)
    failed = (office.desk.data / "runtime" / "failed_market_id_lookups.jsonl").read_text()
    assert json.loads(failed) | {"timestamp": ""} == {
        "timestamp": "",
        "condition_id": miss["condition_id"],
        "reason": "market_id_not_found",
        "retry_count": 1,
        "status": "pending_lookup",
    }
    assert set(office.stored().values()) == {""}
    assert office.desk.sql("SELECT * FROM condition_market_ids") == []


def test_a_second_lookup_asks_only_for_what_was_missed(office: Office) -> None:
    """Seed 004, market-id resolver: resumable; duplicates and a torn line in JSONL harmless."""
    office.desk.call("market-ids", "lookup")
    lines = office.results.read_text()
    office.results.write_text(lines + lines + lines[:100])  # repeated, and torn
    asked_before = office.sandbox.requests()
    said = office.desk.json("market-ids", "lookup")
    assert (said["asked"], said["found"], said["missed"]) == (1, 0, 1)
    assert office.sandbox.requests() - asked_before == 2
    told = office.desk.json("market-ids", "finalize")
    assert told["parse_errors"] == 1
    assert told["valid_mappings"] == len(office.traded) - 1
    assert told["invalid_mappings"] == 1
    assert told["conflicts"] == 0


def test_a_filter_gamma_ignores_ends_as_misses_with_one_warning(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 004, market-id resolver: answers for other conditions are detected, none is believed."""
    office.sandbox.faults({"kind": "wrong_rows", "route": "markets"})
    said = office.desk.call("market-ids", "lookup", "--json", code=3)
    told = json.loads(said.out)
    assert told["found"] == 0
    assert told["reasons"] == {"answer_for_another_condition": told["asked"]}
    assert said.err.count("foreign_answer") == 1
    assert not any(line["market_id"] for line in office.lines())
    warned = office.desk.call("market-ids", "lookup", code=3)
    assert "WARNING: Gamma returned markets that were not requested" in warned.out
    office.sandbox.faults()
    assert office.desk.json("market-ids", "lookup")["found"] == len(office.traded) - 1


def test_errors_are_misses_with_their_reason_and_are_asked_again(office: Office) -> None:
    """Seed 004, ingestion resolver: api_error, api_timeout and api_404 on failure; asked again."""
    office.desk.set(page_attempts=1)
    try:
        for fault, reason in (("500", "api_error"), ("504", "api_timeout")):
            office.sandbox.faults({"kind": fault, "route": "markets"})
            said = office.desk.json("market-ids", "lookup")
            assert set(said["reasons"]) == {reason}
        again = {line["retry_count"] for line in office.lines()}
        assert again == {1}, "tries of one day count once"
    finally:
        office.desk.set(page_attempts=12)
    office.sandbox.faults()
    assert office.desk.json("market-ids", "lookup")["found"] == len(office.traded) - 1


def test_a_refused_batch_is_asked_in_halves(office: Office) -> None:
    office.sandbox.faults({"kind": "403_html", "route": "markets", "count": 2})
    assert office.desk.json("market-ids", "lookup")["found"] == len(office.traded) - 1


def test_what_the_stored_lists_know_is_not_asked(office: Office) -> None:
    """Seed 004, ingestion resolver: the dimension before Gamma."""
    rows = [
        {"source": "gamma", "condition_id": key, "market_id": office.truth[key]}
        for key in office.traded
    ]
    body = "\n".join(json.dumps(row) for row in rows)
    office.desk.call("sql", f"INSERT INTO api_market_rows FORMAT JSONEachRow {body}")
    said = office.desk.json("market-ids", "lookup")
    assert (said["found_without_asking"], said["asked"], said["requests"]) == (len(rows), 0, 0)
    assert {line["source"] for line in office.lines()} == {"api_markets_staging"}


def test_apply_shows_then_writes_then_takes_back(office: Office) -> None:
    """Seed 004, apply market ids: before and after printed; reversible; idempotent; never empty or
    unknown. The user's own table is joined, not written.
    """
    desk = office.desk
    some = sorted(office.traded)[:3]
    user = "\n".join(
        json.dumps({"trade_id": key, "condition_id": f"0x{key}", "market_id": ""}) for key in some
    )
    desk.call("sql", f"INSERT INTO trades_raw FORMAT JSONEachRow {user}")
    desk.call("market-ids", "lookup")
    desk.call("market-ids", "finalize")
    trades = sum(office.traded.values())
    known = trades - office.traded[office.unlisted]

    shown = desk.json("market-ids", "apply")
    assert shown["written"] is False
    assert shown["external_trades_raw"]["before"]["with_id"] == 0
    assert shown["external_trades_raw"]["after"]["with_id"] == known
    assert shown["trades_raw"]["after"]["with_id"] == len(set(some) - {office.unlisted})
    assert set(office.stored().values()) == {""}
    assert "nothing was written" in desk.call("market-ids", "apply").out

    done = desk.json("market-ids", "apply", "--write")
    assert done["written"] is True
    assert done["external_trades_raw"] == shown["external_trades_raw"]
    assert done["trades_raw"] == shown["trades_raw"]
    expected = {key: office.truth[key] for key in office.traded} | {office.unlisted: ""}
    assert office.stored() == expected
    joined = desk.sql("SELECT condition_id, market_id FROM condition_market_ids")
    assert {row["condition_id"]: row["market_id"] for row in joined} == {
        key: market for key, market in expected.items() if market
    }
    assert {row["market_id"] for row in desk.sql("SELECT market_id FROM trades_raw")} == {""}

    again = desk.json("market-ids", "apply", "--write")
    assert (again["written"], again["new_mappings"], again["fills"]["trades"]) == (False, 0, 0)
    told = desk.json("market-ids", "status")
    assert told["verdict"] == "target met"
    assert told["alerts"] == []
    assert told["external_trades_raw"]["with_id"] == known
    assert told["conditions"] == {"found": 0, "pending": 1, "lookup_failed": 0}

    would = desk.json("market-ids", "apply", "--revert")
    assert would["written"] is False
    assert would["external_trades_raw"]["after"]["with_id"] == 0
    assert office.stored() == expected
    back = desk.json("market-ids", "apply", "--revert", "--write")
    assert back["external_trades_raw"] == would["external_trades_raw"]
    assert back["trades_raw"] == would["trades_raw"]
    assert back["external_trades_raw"]["after"]["with_id"] == 0
    assert set(office.stored().values()) == {""}
    assert desk.sql("SELECT * FROM condition_market_ids") == []
    assert "no apply to undo" in desk.call("market-ids", "apply", "--revert", code=78).err


@pytest.mark.parametrize("market", ["market_id", "''"], ids=["with an id", "without"])
def test_a_revert_says_before_what_fills_that_came_since_make_of_it(
    office: Office, market: str
) -> None:
    """They are no part of the apply; those with its id lose it all the same."""
    desk = office.desk
    desk.call("market-ids", "lookup")
    desk.call("market-ids", "finalize")
    desk.call("market-ids", "apply", "--write")
    later = "[toUUID('00000000-0000-4000-8000-000000000001')]"
    desk.call(
        "sql",
        "INSERT INTO external_trades_raw SELECT * REPLACE("
        f"arrayJoin({later}) AS external_trade_id, {market} AS market_id) "
        "FROM (SELECT * FROM external_trades_raw WHERE market_id != '' LIMIT 1)",
    )
    would = desk.json("market-ids", "apply", "--revert")
    back = desk.json("market-ids", "apply", "--revert", "--write")
    assert would["external_trades_raw"] == back["external_trades_raw"]
    assert back["external_trades_raw"]["after"]["with_id"] == 0
    desk.call("sql", f"DELETE FROM external_trades_raw WHERE external_trade_id IN {later}")


def test_a_map_that_cannot_be_right_is_refused_whole(office: Office, tmp_path: Path) -> None:
    """Seed 004, apply market ids: rejects a map in which one market has many conditions, one whose
    tokens do not fit, and one the lists contradict.
    """
    desk = office.desk
    desk.call("market-ids", "lookup")
    desk.call("market-ids", "finalize")
    good = json.loads(office.final.read_text())["mappings"]
    first, second, *_ = (one for one in good if one["condition_id"][2:4] not in {"01", "02", "03"})

    def refused(mappings: list[dict[str, Any]]) -> str:
        path = tmp_path / "map.json"
        path.write_text(json.dumps(mappings))
        error = desk.call("market-ids", "apply", "--from", path, "--write", code=78).err
        assert set(office.stored().values()) == {""}
        assert desk.sql("SELECT * FROM condition_market_ids") == []
        return error

    assert (
        "no list of mappings"
        in desk.call(
            "market-ids", "apply", "--from", desk.file("x.json", ['{"a": 1}']), code=78
        ).err
    )
    same = [{**one, "market_id": "12", "token_ids": []} for one in (first, second)]
    assert "market 12 2" in refused(same)
    assert "a market has one condition" in refused(
        [first, {**second, "market_id": first["market_id"], "token_ids": []}]
    )
    crossed = {**first, "token_ids": second["token_ids"]}
    assert "tokens" in refused([crossed])
    row = {"source": "gamma", "condition_id": "ab" * 32, "market_id": "777"}
    desk.call("sql", f"INSERT INTO api_market_rows FORMAT JSONEachRow {json.dumps(row)}")
    lone = {"condition_id": first["condition_id"], "market_id": "777"}
    assert "belongs to other" in refused([lone])
    assert desk.json("market-ids", "apply")["new_mappings"] == len(good)


@pytest.mark.recorded
def test_the_recorded_map_to_market_12_is_refused(office: Office, recorded_dir: Path) -> None:
    """Seed 004, apply market ids: 116 conditions that a misspelt filter sent to market 12."""
    sample = recorded_dir / "seed-condition-market-map-sample-cascadian.jsonl"
    error = office.desk.call("market-ids", "apply", "--from", sample, "--write", code=78).err
    assert "market 12 116" in error
    assert "a market has one condition" in error
    assert office.desk.sql("SELECT * FROM condition_market_ids") == []


def test_alerts_name_what_is_low(office: Office) -> None:
    """Seed 004, ingestion resolver: alert levels 95/90 % and 5 %."""
    told = office.desk.json("market-ids", "status", code=3)
    assert told["verdict"] == "insufficient"
    assert len(told["alerts"]) == 2
    shown = office.desk.call("market-ids", "status", code=3).out
    alert = "ALERT: 0 % of the trades of external_trades_raw have a market id, below 90 %"
    assert alert in shown


def test_bad_words_are_refused(office: Office) -> None:
    desk = office.desk
    assert "1 to 40" in desk.call("market-ids", "lookup", "--batch", 41, code=78).err
    assert "market-ids lookup" in desk.call("market-ids", "finalize", code=78).err
    assert "market-ids finalize" in desk.call("market-ids", "apply", code=78).err


def test_finalize_all_refuses_stops_and_shows(office: Office) -> None:
    """Seed 004, finalize-all: refuses when a prerequisite is missing and says which; a failing step
    stops the chain with its exit code; prints coverage distribution and samples.
    """
    desk = office.desk
    error = desk.call("finalize-all", code=78).err
    assert all(name in error for name in (*SEEDS, office.results.name))
    assert "polybackfill dims build" in error

    desk.call("market-ids", "lookup")
    desk.call("run", "markets", "events", "resolutions")
    desk.call("dims", "build")
    assert office.results.name not in desk.call("finalize-all").err
    said = desk.json("finalize-all")
    assert said["market_ids"]["valid_mappings"] == len(office.traded) - 1
    assert {Path(row["file"]).name for row in said["files"]} >= {office.final.name, BREAKDOWN}
    held = json.loads((desk.data / BREAKDOWN).read_text())["wallets"]
    stored = desk.sql("SELECT coverage_pct FROM wallet_pnl")
    assert said["coverage"] == {
        "wallets": len(held),
        **{
            f"from_{level}": sum(row["coverage_pct"] >= level for row in stored)
            for level in (50, 80, 95)
        },
    }
    shown = desk.call("finalize-all").out
    assert "80 % and more:" in shown
    assert shown.count("Wallet 0x") == min(5, len(held))

    (desk.data / BREAKDOWN).unlink()
    line = office.lines()[0]
    with office.results.open("a") as file:
        file.write(json.dumps(line | {"market_id": "1"}) + "\n")
    assert "stopped at market-ids finalize" in desk.call("finalize-all", code=3).out
    assert not (desk.data / BREAKDOWN).exists()


def test_finalize_all_needs_no_lookups_after_a_run_that_found_all_ids(office: Office) -> None:
    """Seed 004, finalize-all: what is no prerequisite is not asked for."""
    desk = office.desk
    desk.call("run", "markets", "events", "resolutions")
    desk.sql("ALTER TABLE external_trades_raw DELETE WHERE market_id = ''")
    desk.call("dims", "build")
    assert not office.results.exists()
    assert desk.json("finalize-all")["market_ids"]["total_lookups"] == 0
    traded = desk.sql(
        "SELECT condition_id, any(market_id) AS market FROM external_trades_raw GROUP BY ALL"
    )
    said = desk.call("market-ids", "lookup").out
    assert f"{len(traded)} conditions with a market are now in\n  {office.results}\n" in said
    assert "no request was needed" in said
    lines = {line["condition_id"][2:]: line["market_id"] for line in office.lines()}
    assert lines == {row["condition_id"]: office.truth[row["condition_id"]] for row in traded}
    assert desk.json("market-ids", "finalize")["total_lookups"] == len(traded)
    assert desk.json("finalize-all")["market_ids"]["total_lookups"] == len(traded)
    assert desk.json("market-ids", "lookup")["known_before"] == 0
    assert len(office.lines()) == len(traded), "nothing is written twice"
    desk.call("market-ids", "apply")  # the map is not refused


def test_the_users_own_trades_alone_are_looked_up_counted_and_finalized(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    desk = new_desk()
    desk.move_out()
    desk.call("run", "markets", "events", "--limit", 1)
    desk.call("dims", "build")
    desk.call("sql", "TRUNCATE TABLE api_market_rows")
    unlisted = sandbox.ask("universe")["special"][UNLISTED]
    known = [one for one in sandbox.lines("markets") if one["condition_id"] not in ("", unlisted)]
    rows = [
        {
            "trade_id": f"{number}-{copy}",
            "condition_id": market["condition_id"],
            "market_id": market["market_id"] if number < 3 else "",
        }
        for number, market in enumerate(known[:20])
        for copy in range(2)
    ]
    body = "\n".join(json.dumps(row) for row in rows)
    desk.call("sql", f"INSERT INTO trades_raw FORMAT JSONEachRow {body}")

    told = desk.json("market-ids", "status", code=3)
    assert told["verdict"] == "insufficient"
    assert told["user_trades"]["pending"] == 2 * 17
    assert any("trades of trades_raw have a market id" in alert for alert in told["alerts"])
    shown = desk.call("market-ids", "status", code=3).out
    assert "trades_raw: 6 of 40 trades have a market id" in shown
    assert "pending: 17 conditions, 34 trades" in shown

    desk.call("market-ids", "lookup")
    assert desk.json("finalize-all")["market_ids"]["valid_mappings"] >= 17
    assert "no wallet has profit and loss" in desk.call("finalize-all").out
    desk.call("market-ids", "apply", "--write")
    told = desk.json("market-ids", "status")
    assert (told["verdict"], told["alerts"]) == ("target met", [])
    assert told["trades_raw"]["with_id"] == 40


def test_one_lookup_or_apply_at_a_time(office: Office) -> None:
    """Seed 004, ingestion resolver: two processes do not ask for the same conditions."""
    with host_lock.hold(office.desk.data / "runtime" / "market-ids.lock", "market-ids lookup"):
        for words in (("lookup",), ("apply", "--write")):
            error = office.desk.call("market-ids", *words, code=75).err
            assert "market-ids lookup or apply is going on" in error


def test_a_lookup_leaves_the_limits_to_a_run(office: Office) -> None:
    """Two programs on one address would pass its limits together."""
    with harness.limits_spent(office.desk.environment["BACKFILL_GAMMA_URL"]):
        error = office.desk.call("market-ids", "lookup", code=75).err
        assert "BACKFILL_SHARE" in error


def test_a_killed_lookup_goes_on_where_it_was(office: Office) -> None:
    """Seed 004, market-id resolver: JSONL resumable after a kill; nothing is asked twice."""
    running = office.desk.start(
        "market-ids", "lookup", "--workers", "1", "--batch", "2", "--sleep-ms", "100"
    )
    harness.until(lambda: office.results.exists() and office.results.stat().st_size, "a first line")
    running.kill()
    kept = len(office.lines())
    assert 0 < kept < len(office.traded)
    said = office.desk.json("market-ids", "lookup")
    assert said["asked"] == len(office.traded) - kept
    found = [line["condition_id"] for line in office.lines() if line["market_id"]]
    assert len(found) == len(set(found)) == len(office.traded) - 1
