"""The source's own lag in every receipt, for one request a minute, and never in the way."""

from __future__ import annotations

import time

import pytest
from tests import harness
from tests.integration.engine import conftest


async def test_one_answer_serves_all_units_of_a_minute(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    small_run = new_small_run()
    assert await small_run.supervise(conftest.wallets(sandbox, 6)).run() == 0
    ends = [receipt.end for receipt in small_run.checkpoint.receipts()]
    assert [end.lag_s for end in ends if end is not None] == [4.0] * 6
    assert all(end is not None and abs(end.second - time.time()) < 60 for end in ends)
    assert sandbox.ask("stats")["routes"]["status"]["requests"] == 1


@pytest.mark.parametrize("kind", ["503", "400", "invalid_json"])
async def test_without_an_answer_the_lag_is_unknown_and_the_unit_done(
    kind: str, new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": kind, "route": "status"})
    small_run = new_small_run()
    assert await small_run.supervise(conftest.wallets(sandbox, 3)).run() == 0
    ends = [receipt.end for receipt in small_run.checkpoint.receipts()]
    assert [end.lag_s for end in ends if end is not None] == [None] * 3
    assert sandbox.fired() == {kind: 1}, "asked once a minute, also when it fails"
