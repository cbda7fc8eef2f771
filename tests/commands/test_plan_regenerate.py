"""`plan regenerate`: new ranks and new wallets; what is known of the others stays, twice over."""

from __future__ import annotations

from typing import Any

import pytest
from tests import harness
from tests.commands import desk as desks

from polybackfill import errors

HISTORY = ("status", "error_message", "attempts", "last_run_at", "ingested_at", "updated_at")


@pytest.fixture
def worked(desk: desks.Desk, sandbox: harness.Sandbox) -> desks.Desk:
    """A plan of four wallets: one done, one in error, two pending."""
    wallets = sandbox.wallets[4:8]
    desk.plan_keys(*wallets)
    sandbox.faults({"kind": "400", "route": "activity", "match": wallets[1]})
    desk.call("run", "wallets", "--limit", 2, code=errors.EXIT_UNITS_IN_ERROR)
    sandbox.reset()
    assert desk.statuses() == {"done": 1, "error": 1, "pending": 2}
    return desk


def _regenerate(desk: desks.Desk, *keys: str) -> dict[str, Any]:
    file = desk.file("anew.txt", [f"{key},{n},{n}.5" for n, key in enumerate(keys)])
    report: dict[str, Any] = desk.json("plan", "regenerate", "--from", file)
    return report


def test_history_stays_ranks_change_and_new_ones_join(
    worked: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, plan regenerate: keeps done, error and attempts, adds new wallets, applies new
    ranks.
    """
    done, failed, pending, vanished = desks.bare(sandbox.wallets[4:8])
    new = desks.bare(sandbox.wallets[8:10])
    before = worked.plan_of()
    report = _regenerate(worked, new[0], pending, failed, new[1], done)
    assert report["wallets"]["found"] == 5
    assert report["wallets"]["added"] == 2
    after = worked.plan_of()
    assert list(after) == [new[0], pending, failed, new[1], done, vanished]
    assert [row["priority_rank"] for row in after.values()] == [1, 2, 3, 4, 5, 6]
    for key in before:
        assert {name: after[key][name] for name in HISTORY} == {
            name: before[key][name] for name in HISTORY
        }
    assert after[failed]["attempts"] > 0
    assert "400" in after[failed]["error_message"]
    assert after[done]["last_run_at"] is not None
    assert [after[key]["notional"] for key in (pending, done)] == [1.5, 4.5]
    assert [after[key]["status"] for key in new] == ["pending", "pending"]


def test_the_old_plan_stays_as_a_table(worked: desks.Desk, sandbox: harness.Sandbox) -> None:
    """Seed 001, plan regenerate: a backup is made, and holds what the plan held."""
    before = list(worked.plan_of().values())
    backup = _regenerate(worked, *sandbox.wallets[6:12])["wallets"]["backup"]
    kept = worked.sql(f"SELECT * FROM {backup} ORDER BY priority_rank, wallet_address")
    assert kept == before
    told = worked.call("plan", "regenerate", "--from", worked.folder / "anew.txt").out
    assert "the plan before: table wallet_backfill_plan_2" in told


def test_again_and_again_within_a_second(worked: desks.Desk, sandbox: harness.Sandbox) -> None:
    plans, backups = [list(worked.plan_of().values())], []
    for first in range(5):
        report = _regenerate(worked, *sandbox.wallets[first : first + 6])
        backups.append(report["wallets"]["backup"])
        plans.append(list(worked.plan_of().values()))
    assert len(set(backups)) == 5
    for backup, plan in zip(backups, plans, strict=False):
        kept = worked.sql(f"SELECT * FROM {backup} ORDER BY priority_rank, wallet_address")
        assert kept == plan
    names = worked.sql("SHOW TABLES LIKE 'wallet_backfill_plan%'")
    assert len(names) == 6, "nothing half-made is left"


def test_the_next_run_takes_what_is_new(worked: desks.Desk, sandbox: harness.Sandbox) -> None:
    done, failed, *_ = sandbox.wallets[4:8]
    new = sandbox.wallets[9]
    _regenerate(worked, done, failed, new)
    sandbox.reset()
    worked.call("run", "wallets", code=3)  # one is still in error
    assert worked.statuses() == {"done": 4, "error": 1}
    worked.prove(sandbox, [done, new, *sandbox.wallets[6:8]], [])


def test_of_an_empty_plan_it_is_a_build(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    report = _regenerate(desk, *sandbox.wallets[:3], sandbox.conditions[0])
    assert report["wallets"]["backup"] is None
    assert report["conditions"]["backup"] is None
    assert len(desk.plan_of()) == 3
    assert len(desk.plan_of("condition")) == 1


def test_ranked_by_a_table(worked: desks.Desk, sandbox: harness.Sandbox) -> None:
    known, new = desks.bare(sandbox.wallets[4:8]), "e" * 40
    rows = [(wallet, 10.0 + n) for n, wallet in enumerate((*known, new))]
    values = ", ".join(f"('{wallet}', {amount})" for wallet, amount in rows)
    worked.call("sql", f"INSERT INTO pm_trades (wallet_address, collateral_amount) VALUES {values}")
    worked.call("plan", "regenerate", "--top", 3)
    assert list(worked.plan_of()) == [new, known[3], known[2], known[0], known[1]]
    assert worked.statuses() == {"done": 1, "error": 1, "pending": 3}
