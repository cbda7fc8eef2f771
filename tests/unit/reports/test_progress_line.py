"""The progress line and the last words, from a picture."""

from __future__ import annotations

from typing import Any

import pytest

from polybackfill.reports import progress_line

PICTURE: dict[str, Any] = {
    "state": "running",
    "started_at": 1_000.0,
    "now": 1_065.0,
    "parts": {
        "markets": {"units": 9, "done": 9, "error": 0, "complete": True},
        "events": {"units": 8, "done": 8, "error": 0, "complete": True},
        "conditions": {"units": 58, "done": 38, "error": 0, "complete": False},
        "wallets": {"units": 1_200, "done": 12, "error": 1, "complete": False},
        "positions": {"units": 0, "done": 0, "error": 0, "complete": False},
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


def test_the_line_has_share_time_left_rates_and_the_parts_with_work() -> None:
    assert progress_line.line(PICTURE) == (
        "30.3 %  ETA 1 h 05 min  2,575 rows/s  48.7 of 50.0 requests/s  "
        "conditions 38/58  wallets 12/1,200 (1 error)  2 parts done  9,342 rows"
    )
    assert progress_line.line({**PICTURE, "eta_s": None}).split("  ")[1] == "ETA unknown"
    assert progress_line.line({**PICTURE, "share": None}).startswith("share …  ETA")


WIDE: dict[str, Any] = {
    **PICTURE,
    "share": 0.99999,
    "eta_s": 123 * 86_400.0,
    "rows_per_s": 123_456.0,
    "requests_per_s": 1_148.7,
    "store_wait_s": 75.0,
}


@pytest.mark.parametrize("columns", range(20, 200))
@pytest.mark.parametrize("picture", [PICTURE, WIDE, {**WIDE, "eta_s": None, "share": None}])
def test_the_line_fits_and_its_first_four_into_sixty_columns(
    picture: dict[str, Any], columns: int
) -> None:
    text = progress_line.line(picture, columns)
    assert len(text) <= columns
    whole = progress_line.line(picture).replace(" of 50.0", "")
    assert whole.startswith(text.removesuffix(" …")), "nothing is cut in the middle"
    if columns >= 59:
        assert all(word in text for word in ("ETA", " rows/s", " requests/s"))


def test_a_part_with_errors_is_shown_though_it_is_done() -> None:
    part = {"units": 9, "done": 7, "error": 2, "complete": True}
    text = progress_line.line({**PICTURE, "parts": {"wallets": part}})
    assert "wallets 7/9 (2 error)  1 part done" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"store_wait_s": 75.0}, "waiting for the store since 1 min 15 s"),
        ({"pauses": {"data": {"left_s": 12.2}}}, "data asked for a pause, 12 s left"),
        ({"state": "finishing"}, "everything is fetched; making market ids and reports"),
        ({"out": {"/v2/activity": 72.0}}, "/v2/activity has answered no request for 1 min 12 s"),
    ],
)
def test_the_line_says_what_the_run_waits_for(changes: dict[str, Any], words: str) -> None:
    assert progress_line.line({**PICTURE, **changes}).split("  ")[4] == f"({words})"


@pytest.mark.parametrize("changes", [{"store_wait_s": 0.4}, {"pauses": {"data": {"left_s": 0}}}])
def test_a_wait_of_a_moment_is_not_worth_a_word(changes: dict[str, Any]) -> None:
    assert progress_line.line({**PICTURE, **changes}) == progress_line.line(PICTURE)


def test_the_end_says_what_is_proven_and_what_to_do_about_the_rest() -> None:
    failed = [{"unit": "wallets:ab", "error": "GET … answered 400"}]
    rows = {"external_trades_landing": 5, "quarantine_landing": 2}
    picture = {**PICTURE, "state": "finished", "failed": failed, "rows": rows, "refused_rows": 2}
    told = progress_line.summary_lines(picture, dry_run=False)
    assert told == [
        "finished after 1 min 05 s: 7 rows acknowledged",
        "  markets     9 of 9 proven complete",
        "  events      8 of 8 proven complete",
        "  conditions  38 of 58 proven complete, 20 to go",
        "  wallets     12 of 1,200 proven complete, 1 in error, 1,187 to go",
        "  positions   not begun",
        "  wallets:ab: GET … answered 400",
        "  all: polybackfill plan show    again: polybackfill plan reset --errors",
        "  2 rows set aside, not proven: polybackfill quarantine list",
    ]


@pytest.mark.parametrize(
    ("state", "first"),
    [("stopped", "stopped after"), ("failed", "failed after"), ("running", "ended without notice")],
)
def test_an_end_that_is_none_says_how_to_go_on(state: str, first: str) -> None:
    told = progress_line.summary_lines({**PICTURE, "state": state}, dry_run=False)
    assert told[0].startswith(first)
    assert told[-1] == "  start it again to continue where it stopped"


def test_a_dry_run_does_not_claim_to_have_stored_anything() -> None:
    told = progress_line.summary_lines({**PICTURE, "state": "finished"}, dry_run=True)
    assert "9,342 rows would be stored" in told[0]


def test_an_end_says_up_to_when_it_followed_and_not_how_far_behind_it_was() -> None:
    facts = {"since": 1, "fresh_to": 1_795_952_037, "lag_s": 7.8, "gaps": [[3, 4]]}
    told = progress_line.summary_lines(
        {**PICTURE, "state": "stopped", "following": facts}, dry_run=False
    )
    assert told[1] == "  followed up to 2026-11-29 11:33:57 UTC, 1 gap"


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({}, "ETA 1 h 05 min"),
        ({"eta_s": None}, "ETA unknown"),
        ({"done": 58}, "more may come"),
        ({"done": 56, "error": 2}, "more may come"),
        ({"done": 58, "complete": True}, "proven complete"),
        ({"done": 57, "error": 1, "complete": True}, "ended"),
    ],
)
def test_how_long_a_part_takes(changed: dict[str, Any], left: str) -> None:
    part = {"units": 58, "done": 38, "error": 0, "complete": False, "eta_s": 3_900.0}
    assert progress_line.part_left({**part, **changed}) == left
