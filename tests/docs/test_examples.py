"""The examples work as they stand, and what they import is what the library offers."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.docs.conftest import Place

import polybackfill

EXAMPLES = Path(__file__).parents[2] / "examples"


def true_rows(place: Place, condition_id: str) -> int:
    """How many trades the sandbox has of a market."""
    body = json.dumps({"wallets": [], "conditions": [condition_id]}).encode()
    url = f"{place.sandbox_url}/_sandbox/truth"
    with urllib.request.urlopen(url, body, timeout=20) as answer:  # noqa: S310  (our own sandbox)
        trades = json.load(answer)["trades"]
    return int(trades.get("rows", trades.get("count")))


def test_one_market_is_fetched_whole_and_once(place: Place) -> None:
    market = place.known("conditions")[-1]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "backfill_one_market.py"), market["condition_id"]],
            cwd=place.folder,
            env=place.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "conditions" in done.stdout
        stored = place.program("sql", "SELECT count() FROM external_trades_raw")
        assert int(stored.split()[-1]) == true_rows(place, market["condition_id"]) > 0


def test_what_the_library_offers_can_be_imported() -> None:
    for name in polybackfill.__all__:
        assert getattr(polybackfill, name).__name__ == name


def test_to_import_the_library_loads_nothing_else() -> None:
    script = "import sys, polybackfill; print([m for m in sys.modules if m.startswith('polyb')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['polybackfill']"
