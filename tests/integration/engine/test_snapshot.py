"""The picture of a run says what is so, while it goes on and at its end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
import structlog
from tests import harness
from tests.integration import conftest as integration_conftest
from tests.integration.engine import conftest

from polybackfill.engine import plan_source, running_part, supervisor
from polybackfill.filesystem import lock
from polybackfill.polymarket import endpoints, route_answers
from polybackfill.reports import fetch_rates, progress_line, snapshot


def pictures(
    small_run: conftest.SmallRun, watch: supervisor.Supervisor, file: Path, units: int
) -> snapshot.Snapshots:
    """What a run shows of itself."""
    source = plan_source.ExplicitKeys(
        small_run.kind, (), plan_source.Selection(), small_run.checkpoint
    )
    source.known = plan_source.WorkEstimate(units)
    source.counted = units > 0
    part = running_part.RunningPart(
        pool=small_run.pool,
        queue=small_run.line,
        runner=small_run.runner,
        source=source,
        route=endpoints.ACTIVITY,
        quarantined=lambda: 0,
    )
    made = snapshot.Snapshots(
        snapshot.RunHeader("main", lock.this_process(small_run.clock.now()), small_run.clock.now()),
        parts={small_run.kind: part},
        checkpoint=small_run.checkpoint,
        writer=small_run.writer,
        limits=small_run.limits,
        client=small_run.client,
        watch=watch,
        file=file,
        clock=small_run.clock,
        progress_every=5,
    )
    watch.add_periodic(supervisor.PeriodicTask("status", 0.1, made.tick))
    return made


async def test_the_picture_in_the_middle_and_at_the_end(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    feed = conftest.wallets(sandbox, 12)
    sandbox.faults({"kind": "400", "match": feed[0].keys[0]})
    small_run = new_small_run(sleep_s=0.15)
    watch = small_run.supervise(feed)
    shown = pictures(small_run, watch, tmp_path / "status" / "main.json", len(feed))
    running = asyncio.create_task(watch.run())
    await integration_conftest.until(
        lambda: small_run.line.stats()["done"] >= 6, "half of the wallets"
    )
    await asyncio.sleep(0.2)
    seen = json.loads((tmp_path / "status" / "main.json").read_bytes())
    part = seen["parts"]["wallets"]
    assert seen["state"] == "running"
    assert part["units"] == 12
    assert 6 <= part["done"] <= 11
    assert part["error"] == 1
    assert part["waits"].get("pace", 0) >= 1
    assert 0.4 < seen["share"] < 1
    # The pace holds the run back, not the limit: about 0.15 s for each request that is left.
    assert 0.5 < part["eta_s"] / (part["requests_left"] * 0.15) < 2
    assert "wallets" in progress_line.line(seen)
    await running
    await shown.tick()
    last = json.loads((tmp_path / "status" / "main.json").read_bytes())
    part = last["parts"]["wallets"]
    assert (last["state"], last["share"], last["eta_s"]) == ("finishing", 1.0, 0.0)
    assert (part["done"], part["error"], part["requests_left"]) == (11, 1, 0)
    told = " ".join(progress_line.summary_lines(last, dry_run=False)[1].split())
    assert told == "wallets 11 of 12 proven complete, 1 in error"


async def test_before_every_part_is_counted_no_share_and_no_time_is_told(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    small_run = new_small_run()
    watch = small_run.supervise(conftest.wallets(sandbox, 1))
    seen = pictures(small_run, watch, tmp_path / "main.json", 0).current()
    assert (seen["share"], seen["eta_s"]) == (None, None)
    assert seen["parts"]["wallets"]["share"] is None
    line = progress_line.line(seen)
    assert "%" not in line
    assert line.startswith("share …  ETA unknown  ")


async def test_of_a_route_that_only_fails_no_time_is_told_but_that_it_fails(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    tmp_path: Path,
    events: list[structlog.typing.EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(route_answers, "_OUT_S", 0.3)
    sandbox.faults({"kind": "502", "route": "activity", "count": 30})
    small_run = new_small_run()
    small_run.options |= {"page_attempts": 50, "backoff_cap_s": 0.2}
    watch = small_run.supervise(conftest.wallets(sandbox, 2))
    shown = pictures(small_run, watch, tmp_path / "main.json", 2)
    running = asyncio.create_task(watch.run())
    await integration_conftest.until(
        lambda: shown.current()["out"] != {}, "the outage in the picture"
    )
    seen = shown.current()
    assert seen["eta_s"] is None
    line = progress_line.line(seen)
    assert "  ETA unknown  " in line
    assert "(/v2/activity has answered no request for 0 s)" in line
    assert await running == 0
    told = [event for event in events if event["event"].startswith("route.")]
    assert [event["event"] for event in told] == ["route.out", "route.answers_again"]
    assert "502" in told[0]["error"]
    assert (shown.current()["out"], shown.current()["eta_s"]) == ({}, 0.0)


def test_what_is_sent_stands_beside_what_the_same_routes_may_send() -> None:
    def budget(limit: int, allowed: float, rate: float) -> dict[str, float]:
        return {"limit": limit, "window_s": 10.0, "allowed_per_s": allowed, "rate_per_s": rate}

    budgets = {
        "/v2/*": budget(800, 78.4, 70.0),
        "/v2/trades": budget(300, 29.4, 29.0),
        "/v2/activity": budget(200, 19.6, 19.0),
        "/v2/resolutions": budget(800, 78.4, 22.0),
        "gamma/markets": budget(300, 29.4, 5.0),
        "gamma/*": budget(4000, 392.0, 5.0),
    }
    lookups = dataclasses.replace(endpoints.MARKETS, path="/markets/slug")
    assert fetch_rates.requests_per_s([], budgets) == (0.0, 0.0)
    assert fetch_rates.requests_per_s([endpoints.TRADES, endpoints.ACTIVITY], budgets) == (
        48.0,
        49.0,
    )
    assert fetch_rates.requests_per_s([endpoints.MARKETS, lookups], budgets) == (5.0, 29.4)
    everything = [endpoints.TRADES, endpoints.ACTIVITY, endpoints.RESOLUTIONS, lookups]
    assert fetch_rates.requests_per_s(everything, budgets) == (75.0, 80.0 + 29.4)


async def test_a_picture_that_cannot_be_written_ends_nothing(
    new_small_run: conftest.NewSmallRun,
    sandbox: harness.Sandbox,
    tmp_path: Path,
    events: list[structlog.typing.EventDict],
) -> None:
    (tmp_path / "status").write_text("a file where the folder should be")
    feed = conftest.wallets(sandbox, 3)
    small_run = new_small_run(sleep_s=0.2)
    watch = small_run.supervise(feed)
    pictures(small_run, watch, tmp_path / "status" / "main.json", len(feed))
    assert await watch.run() == 0
    assert "status.not_written" in [event["event"] for event in events]


async def test_what_an_earlier_run_left_open_is_part_of_the_whole(
    new_small_run: conftest.NewSmallRun, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    """Done is never more than all, though the source no longer counts what the store has."""
    feed = conftest.wallets(sandbox, 6)
    small_run = new_small_run()
    watch = small_run.supervise(feed)
    shown = pictures(small_run, watch, tmp_path / "status" / "main.json", len(feed) - 4)
    await watch.run()
    picture = shown.current()
    part = picture["parts"]["wallets"]
    assert (part["units"], part["done"], part["share"]) == (6, 6, 1.0)
    assert "to go" not in " ".join(progress_line.summary_lines(picture, dry_run=False))
