"""An outage is nobody's fault and has an end; a unit that fails by itself ends in error."""

from __future__ import annotations

import time

import pytest
from tests import harness
from tests.integration.engine import conftest

from polybackfill import errors
from polybackfill.engine import worker


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds of a night, shrunk."""
    monkeypatch.setattr(worker, "_OUTAGE_S", 0.5)
    monkeypatch.setattr(worker, "_AGAIN_S", 0.1)


@pytest.mark.parametrize("kind", ["500", "hang"])
async def test_the_last_unit_left_fails_by_itself_while_the_api_works(
    kind: str, new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    feed = conftest.wallets(sandbox, 4)
    bad = feed[0].keys[0]
    sandbox.faults({"kind": kind, "match": bad})
    small_run = new_small_run(deadline_s=0.15)
    # Its tries last longer than the silence after which an outage is suspected.
    small_run.options |= {"max_attempts": 6, "backoff_cap_s": 0.3}
    assert await small_run.supervise(feed).run() == errors.EXIT_UNITS_IN_ERROR
    (failed,) = small_run.checkpoint.failed_units()
    assert failed.unit.keys == (bad,)
    assert all(small_run.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed[1:])


async def test_a_stalled_unit_that_is_alone_ends_in_error_too(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    feed = conftest.wallets(sandbox, 2)
    bad = feed[0].keys[0]
    sandbox.faults({"kind": "hang", "match": bad})
    small_run = new_small_run(deadline_s=60.0)  # only the stall bound can notice
    small_run.options |= {"stall_s": 0.6}
    assert await small_run.supervise(feed).run() == errors.EXIT_UNITS_IN_ERROR
    assert [failed.unit.keys for failed in small_run.checkpoint.failed_units()] == [(bad,)]
    assert small_run.pool.stalls == small_run.options["max_attempts"]


@pytest.mark.parametrize(("kind", "stall_s"), [("502", 30.0), ("hang", 0.6)])
async def test_an_outage_counts_against_no_unit_and_ends_the_run_with_75(
    kind: str, stall_s: float, new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    feed = conftest.wallets(sandbox, 4)
    sandbox.faults({"kind": kind, "route": "activity"})
    small_run = new_small_run(deadline_s=0.3 if kind == "502" else 60.0, no_progress_s=4.0)
    small_run.options |= {"stall_s": stall_s, "page_attempts": 4, "backoff_cap_s": 0.3}
    began_at = time.monotonic()
    with pytest.raises(errors.Stop) as caught:
        await small_run.supervise(feed).run()
    assert caught.value.exit_code == errors.EXIT_UNAVAILABLE
    assert "/v2/activity" in str(caught.value)
    assert 4.0 <= time.monotonic() - began_at < 8.0
    assert small_run.checkpoint.failed_units() == []
    assert (
        max(unit.attempt for unit in small_run.checkpoint.open_units())
        > small_run.options["max_attempts"]
    )


async def test_what_an_outage_held_up_is_done_when_it_is_over(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox
) -> None:
    """Seed 001, recovery: scenario C needs no manual SQL."""
    feed = conftest.wallets(sandbox, 4)
    sandbox.faults({"kind": "502", "route": "activity", "count": 40})
    small_run = new_small_run()
    small_run.options |= {"page_attempts": 4, "backoff_cap_s": 0.3}
    assert await small_run.supervise(feed).run() == errors.EXIT_OK
    assert sandbox.fired() == {"502": 40}
    assert all(small_run.checkpoint.is_done("wallets", unit.keys[0]) for unit in feed)
