"""`run` without further words keeps to the planned list; --everything goes beyond it."""

from __future__ import annotations

from tests import harness
from tests.commands import desk as desks

from polybackfill.kinds import registry

# What a list of wallets needs: markets are asked for by name, where no list knows them one by one.
OF_LIST = {"market", "clob-market"} | {
    one.route.path.removeprefix("/v2").removesuffix("/keyset").strip("/")
    for one in registry.ALL
    if "wallets" in one.needed_for
}


def _requests(sandbox: harness.Sandbox) -> dict[str, int]:
    asked = sandbox.asked()
    sandbox.reset()
    return asked


def test_from_a_list_to_everything_and_back(desk: desks.Desk, sandbox: harness.Sandbox) -> None:
    said = desk.call("init").out
    assert "next: polybackfill run, which fetches everything" in said

    wallets = sandbox.wallets[:3]
    built = desk.call("plan", "build", "--from", desk.file("mine.txt", wallets)).out
    assert "next: polybackfill run, which fetches the planned list: 3 keys are open" in built
    scope = "scope: the planned list (3 wallets, 3 of them open)"
    assert scope in desk.call("plan", "estimate").out
    assert "which fetches the planned list" in desk.call("validate", "--offline").out

    sandbox.reset()
    first = desk.call("run")
    assert first.err.startswith(scope)
    assert "polybackfill run --everything" in first.err.splitlines()[0]
    assert "requests" in first.err.splitlines()[1], "the estimate"
    assert "3 of 3 proven complete" in first.out
    assert set(_requests(sandbox)) == OF_LIST
    truth = sandbox.truth(wallets, [])["trades"]
    assert desk.value("SELECT count() FROM external_trades_raw") == truth["rows"]

    again = desk.call("run")
    assert "3 of 3 proven complete" in again.out
    assert set(_requests(sandbox)) <= OF_LIST, "what may have changed"

    whole = desk.call("run", "--everything", "--limit", 2)
    assert whole.err.startswith("scope: everything")
    assert {"markets", "events"} <= set(_requests(sandbox))
    found = desk.value("SELECT count() FROM wallet_backfill_plan WHERE status = 'pending'")
    assert found > 0
    # What everything has found is no list, not even where the list had it before.
    assert "3 of 3 proven complete" in desk.call("run").out
    assert "the planned list is done" in desk.call("validate", "--offline", code=None).out
    # A key that was found belongs to the list once it is listed.
    row = "SELECT wallet_address, priority_rank, source FROM wallet_backfill_plan WHERE {} LIMIT 1"
    (before,) = desk.sql(row.format("status = 'pending'"))
    assert before["source"] == "found in external_trades_raw"
    desk.call("plan", "build", "--from", desk.file("more.txt", [before["wallet_address"]]))
    (after,) = desk.sql(row.format(f"wallet_address = '{before['wallet_address']}'"))
    assert after == {**before, "source": "more.txt"}
    sandbox.reset()
    assert "(4 wallets, 1 of them open)" in desk.call("run").err
    assert set(_requests(sandbox)) <= OF_LIST
