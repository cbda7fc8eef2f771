"""A clock that was ahead once, or that is set in the middle of a run, leaves nothing stale."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness, small_api

DAY_S = 86_400
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
HELD = """
SELECT (SELECT groupArray((status, size)) FROM api_positions_staging) AS positions,
    (SELECT groupArray((closed, resolved)) FROM api_markets_staging) AS markets,
    (SELECT groupArray(status) FROM api_resolutions) AS resolutions,
    (SELECT count() FROM external_trades_raw) AS trades,
    (SELECT groupArray((net_shares, status)) FROM vw_positions_reconciled) AS reconciled,
    (SELECT sum(realized_pnl_usd) FROM wallet_pnl) AS pnl
"""
RIGHT = {
    "positions": [["OPEN", 40]],
    "markets": [[True, True]],
    "resolutions": ["resolved"],
    "trades": 2,
    "reconciled": [[40, "equal"]],
    "pnl": 30,
}

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="apt-get install faketime")


@pytest.fixture
def api() -> Iterator[small_api.SmallApi]:
    """A wallet that holds 100 shares of an open market, as of yesterday."""
    now = int(time.time())
    made = small_api.SmallApi(
        activity=[small_api.trade("w", "m", 0, "BUY", 100.0, 0.4, now - 90_000)],
        markets=[small_api.market(400, "m", ["0.5", "0.5"], closed=False, start=now - 3 * DAY_S)],
        positions=[small_api.position("w", "m", 0, 100.0, now - 90_000)],
        resolutions=[small_api.resolution("m", None)],
    )
    with small_api.serving(made) as running:
        yield running


@pytest.fixture
def ground(
    tmp_path: Path, api: small_api.SmallApi, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    with harness.ground(tmp_path, api.url, prepared=prepared, reports="true") as made:
        yield made


def settle(api: small_api.SmallApi) -> None:
    """The wallet sells 60 for 0.5 each, the market closes and pays 1 for each of the other 40."""
    now = int(time.time())
    api.activity.append(small_api.trade("w", "m", 0, "SELL", 60.0, 0.5, now - 50))
    api.positions[:] = [small_api.position("w", "m", 0, 40.0, now - 50)]
    api.markets[:] = [small_api.market(400, "m", ["1", "0"], closed=True, start=now - 3 * DAY_S)]
    api.resolutions[:] = [small_api.resolution("m", [1_000_000, 0])]


def wrong(ground: harness.Ground, shift: str) -> None:
    """What is started from now on has a clock that is wrong by so much."""
    preload = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": shift,
        "DONT_FAKE_MONOTONIC": "1",
        # Else a thread that waits for Python's lock turns in a circle: five times the CPU.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    ground.environment |= preload if shift else dict.fromkeys(preload, "")


@pytest.mark.parametrize(
    ("shift", "tells_time", "forget"),
    [
        ("+2d", True, False),
        pytest.param("+400d", False, True, marks=pytest.mark.long),
        pytest.param("+3h", False, False, marks=pytest.mark.long),
    ],
)
def test_what_a_clock_ahead_has_read_is_read_again(
    api: small_api.SmallApi, ground: harness.Ground, shift: str, tells_time: bool, forget: bool
) -> None:
    """Whether or not the servers say what time it is, and with the checkpoint lost in between."""
    api.ahead_s = 0.0 if tells_time else None
    wrong(ground, shift)
    ground.run("run").expect(0)
    wrong(ground, "")
    settle(api)
    if forget:
        shutil.rmtree(ground.checkpoints)
    ground.run("run").expect(0)
    assert ground.sql(HELD) == [RIGHT]
    if not forget:  # its receipts are gone with it, which `validate` says
        ground.run("validate", "--offline").expect(0)
    newest = "SELECT max(toUnixTimestamp(read_until)) AS at FROM wallet_backfill_plan"
    assert ground.sql(newest)[0]["at"] <= time.time()


@pytest.mark.long
def test_a_clock_behind_costs_nothing(api: small_api.SmallApi, ground: harness.Ground) -> None:
    """1970, as of a machine without a battery: the run goes through, and so does the next."""
    wrong(ground, "@1970-01-02 00:00:00")
    ground.run("run").expect(0)
    wrong(ground, "")
    settle(api)
    ground.run("run").expect(0)
    assert ground.sql(HELD) == [RIGHT]
