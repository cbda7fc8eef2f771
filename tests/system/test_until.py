"""`--until` follows the clock on the wall, also through a sleep of the machine, and is shown."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests import harness

# asyncio sees what a sleeping machine leaves behind: the wall has gone on, its own timers have not.
# The test says when: a loaded machine takes seconds until pages are under way.
JUMP = """
import pathlib, sys, time
real, jumped = time.time, pathlib.Path({jumped!r})
time.time = lambda: real() + ({jump_s} if jumped.exists() else 0)
from polybackfill import cli
sys.exit(cli.main())
"""


@pytest.fixture(scope="module")
def slow_sandbox() -> Iterator[harness.Sandbox]:
    """A run that would take minutes."""
    with harness.sandbox(trades=20_000, latency_ms=500) as running:
        yield running


def test_through_a_sleep_of_the_machine(
    tmp_path: Path, slow_sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    driver = tmp_path / "asleep.py"
    jumped = tmp_path / "jumped"
    driver.write_text(JUMP.format(jump_s=7_200, jumped=str(jumped)))
    later = datetime.now().astimezone() + timedelta(hours=1)
    with harness.ground(
        tmp_path, slow_sandbox.url, prepared=prepared, workers=2, grace_s=5
    ) as ground:
        keys = ground.write_keys(slow_sandbox)
        began = time.monotonic()
        run = ground.start("run", *keys, "--until", f"{later:%H:%M}", driver=driver)
        harness.until(lambda: slow_sandbox.pages() > 4, "pages under way", within_s=60)
        shown = harness.until(ground.status, "the picture")
        assert shown["stop_at"] == pytest.approx(later.timestamp(), abs=60)
        assert f"until {later:%Y-%m-%d %H:%M}" in ground.run("status").out
        jumped.touch()
        ended = run.end(20)
    ended.expect(0)
    # The minute begins up to a minute before `later`, and starting takes seconds.
    assert re.match(rf"until {later:%Y-%m-%d %H:%M} \S+, in (58|59|1 h)", ended.err)
    took = re.match(r"stopped after (\d+) s", ended.out)
    assert took, ended.out
    passed_s = time.monotonic() - began
    assert int(took[1]) <= passed_s, "what the machine's clock did is no time that it took"
    assert f"it was to run until {later:%Y-%m-%d %H:%M}" in ended.out


def test_a_clock_that_is_put_back_makes_no_negative_time(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> None:
    driver = tmp_path / "back.py"
    jumped = tmp_path / "jumped"
    driver.write_text(JUMP.format(jump_s=-34_559_882, jumped=str(jumped)))
    with harness.ground(tmp_path, sandbox.url, prepared=prepared) as ground:
        run = ground.start("run", *ground.write_keys(sandbox), driver=driver)
        harness.until(ground.status, "the picture", within_s=60)
        jumped.touch()
        ended = run.end()
        ended.expect(0)
        assert re.match(r"finished after \d+ s", ended.out), ended.out
        shown = ground.status()
    assert shown is not None
    assert 0 <= shown["took_s"] < 60
