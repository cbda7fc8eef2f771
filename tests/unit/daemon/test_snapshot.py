"""The picture of a run says what is so, while it goes on and at its end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import structlog
from tests import harness
from tests.unit import conftest as unit_conftest
from tests.unit.daemon import conftest

from polybackfill.daemon import feed as feeds
from polybackfill.daemon import supervisor
from polybackfill.polymarket import endpoints
from polybackfill.views import live, snapshot


def pictures(
    rig: conftest.Rig, watch: supervisor.Supervisor, file: Path, units: int
) -> snapshot.Snapshots:
    """What a run shows of itself."""
    source = feeds.Typed(rig.kind, (), feeds.Choice(), rig.ledger)
    source.known = feeds.Expected(units, units)
    part = snapshot.Part(
        crew=rig.crew,
        queue=rig.line,
        walker=rig.walker,
        source=source,
        budget=endpoints.ACTIVITY.budgets[0],
    )
    made = snapshot.Snapshots(
        run_name="main",
        parts={rig.kind: part},
        scribe=rig.scribe,
        batch=rig.batch,
        limits=rig.limits,
        watch=watch,
        file=file,
        clock=rig.clock,
        progress_every=5,
    )
    watch.add_duty(supervisor.Duty("status", 0.1, made.tick))
    return made


async def test_the_picture_in_the_middle_and_at_the_end(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    feed = conftest.wallets(sandbox, 12)
    sandbox.faults({"kind": "400", "match": feed[0].keys[0]})
    rig = new_rig(sleep_s=0.15)
    watch = rig.supervise(feed)
    shown = pictures(rig, watch, tmp_path / "status" / "main.json", len(feed))
    running = asyncio.create_task(watch.run())
    await unit_conftest.until(lambda: rig.line.stats()["done"] >= 6, "half of the wallets")
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
    assert "wallets" in live.line(seen)
    await running
    await shown.tick()
    last = json.loads((tmp_path / "status" / "main.json").read_bytes())
    part = last["parts"]["wallets"]
    assert (last["state"], last["share"], last["eta_s"]) == ("finished", 1.0, 0.0)
    assert (part["done"], part["error"], part["requests_left"]) == (11, 1, 0)
    told = " ".join(live.ending(last, dry_run=False)[1].split())
    assert told == "wallets 11 of 12 proven complete, 1 in error"


async def test_before_every_part_is_counted_no_share_and_no_time_is_told(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    rig = new_rig()
    watch = rig.supervise(conftest.wallets(sandbox, 1))
    seen = pictures(rig, watch, tmp_path / "main.json", 0).current()
    assert (seen["share"], seen["eta_s"]) == (None, None)
    line = live.line(seen)
    assert "%" not in line
    assert line.endswith("ETA unknown")


async def test_a_picture_that_cannot_be_written_ends_nothing(
    new_rig: conftest.NewRig,
    sandbox: harness.Sandbox,
    tmp_path: Path,
    events: list[structlog.typing.EventDict],
) -> None:
    (tmp_path / "status").write_text("a file where the folder should be")
    feed = conftest.wallets(sandbox, 3)
    rig = new_rig(sleep_s=0.2)
    watch = rig.supervise(feed)
    pictures(rig, watch, tmp_path / "status" / "main.json", len(feed))
    assert await watch.run() == 0
    assert "status.not_written" in [event["event"] for event in events]


async def test_what_an_earlier_run_left_open_is_part_of_the_whole(
    new_rig: conftest.NewRig, sandbox: harness.Sandbox, tmp_path: Path
) -> None:
    """Done is never more than all, though the source no longer counts what the store has."""
    feed = conftest.wallets(sandbox, 6)
    rig = new_rig()
    watch = rig.supervise(feed)
    shown = pictures(rig, watch, tmp_path / "status" / "main.json", len(feed) - 4)
    await watch.run()
    picture = shown.current()
    part = picture["parts"]["wallets"]
    assert (part["units"], part["done"], part["share"]) == (6, 6, 1.0)
    assert "to go" not in " ".join(live.ending(picture, dry_run=False))
