"""Fees that a stopped run had been told and had not yet written in."""

from __future__ import annotations

from tests import harness
from tests.commands import desk as desks

LEFT = "SELECT count() AS n FROM fill_costs"
KNOWN = "SELECT count() AS n FROM external_trades_raw WHERE usdc_size = 1.5 AND fees = 0.25"


def test_the_next_run_writes_them_in_before_it_fetches(
    desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Else one that is stopped every night by --until would never come to it."""
    desk.plan_keys(*sandbox.conditions[2:8])
    desk.call("run", "conditions", "--limit", "1")
    told = "SELECT external_trade_id, 1.5, 0.25 FROM external_trades_raw LIMIT 3"
    desk.call("sql", f"INSERT INTO fill_costs {told}")
    desk.call("run", "conditions", "--dry-run", "--limit", "1")
    assert (desk.value(LEFT), desk.value(KNOWN)) == (3, 0), "a dry run changes nothing"
    sandbox.faults({"kind": "hang", "route": "trades"})
    daemon = desk.start("run", "conditions")
    harness.until(lambda: desk.value(LEFT) == 0, "the fees written in", every_s=0.2)
    assert desk.value(KNOWN) == 3
    assert daemon.running
    daemon.kill()
