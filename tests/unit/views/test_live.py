"""The progress line and the last words, from a picture."""

from __future__ import annotations

from typing import Any

import pytest

from polybackfill.views import live

PICTURE: dict[str, Any] = {
    "state": "running",
    "started_at": 1_000.0,
    "now": 1_065.0,
    "parts": {
        "conditions": {"units": 58, "done": 38, "error": 0},
        "wallets": {"units": 1_200, "done": 12, "error": 1},
    },
    "share": 0.303,
    "rows": {"external_trades_landing": 9_300, "wallet_activity_landing": 42},
    "rows_per_s": 2_575.4,
    "requests_per_s": 48.7,
    "allowed_per_s": 50.0,
    "eta_s": 3_900.0,
    "store_wait_s": 0.0,
    "pauses": {},
    "out": {},
    "budgets": {},
}


def test_the_line_has_share_parts_rates_and_the_time_left() -> None:
    assert live.line(PICTURE) == (
        " 30.3%  conditions 38/58  wallets 12/1,200 (1 error)  9,342 rows  2,575 rows/s  "
        "48.7 of 50.0 requests/s  ETA 1 h 05 min"
    )
    assert live.line({**PICTURE, "eta_s": None}).endswith("ETA unknown")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store_wait_s": 75.0}, "waiting for the store since 1 min 15 s"),
        ({"store_wait_s": 0.4}, "ETA 1 h 05 min"),
        ({"pauses": {"data": {"left_s": 12.2}}}, "data asked for a pause, 12 s left"),
        ({"pauses": {"data": {"left_s": 0}}}, "ETA 1 h 05 min"),
        ({"state": "finishing"}, "everything is fetched; ids and reports are made"),
        ({"out": {"/v2/activity": 72.0}}, "/v2/activity has only failed for 1 min 12 s"),
    ],
)
def test_the_line_says_what_the_run_waits_for(changes: dict[str, Any], words: str) -> None:
    assert live.line({**PICTURE, **changes}).rstrip(")").endswith(words)


@pytest.mark.parametrize(
    ("length_s", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3_599.6, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_durations(length_s: float, words: str) -> None:
    assert live.duration(length_s) == words


def test_the_end_says_what_is_proven_and_what_to_do_about_the_rest() -> None:
    failed = [{"unit": "wallets:ab", "error": "GET … answered 400"}]
    rows = {"external_trades_landing": 5, "quarantine_landing": 2}
    told = live.ending(
        {**PICTURE, "state": "finished", "failed": failed, "rows": rows}, dry_run=False
    )
    assert told == [
        "finished after 1 min 05 s: 7 rows acknowledged",
        "  conditions  38 of 58 proven complete, 20 to go",
        "  wallets     12 of 1,200 proven complete, 1 in error, 1,187 to go",
        "  wallets:ab: GET … answered 400",
        "  all: polybackfill plan show    again: polybackfill plan reset --errors",
        "  2 rows set aside: polybackfill quarantine list",
    ]


@pytest.mark.parametrize(
    ("state", "first"),
    [("stopped", "stopped after"), ("failed", "failed after"), ("running", "ended without notice")],
)
def test_an_end_that_is_none_says_how_to_go_on(state: str, first: str) -> None:
    told = live.ending({**PICTURE, "state": state}, dry_run=False)
    assert told[0].startswith(first)
    assert told[-1] == "  start it again to continue where it stopped"


def test_a_dry_run_does_not_claim_to_have_stored_anything() -> None:
    told = live.ending({**PICTURE, "state": "finished"}, dry_run=True)
    assert "9,342 rows would be stored" in told[0]
