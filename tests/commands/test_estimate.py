"""`plan estimate`: what a run costs, what a night gives, and what nobody knows."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from tests.commands import desk as desks

from polybackfill import errors
from polybackfill.polymarket import endpoints


def test_a_whole_universe_and_one_night(desk: desks.Desk) -> None:
    desk.environment.pop("BACKFILL_LIMITS")
    found = desk.json("plan", "estimate")
    assert found["published_sizes"], "nothing is counted yet"
    # 2.9 million wallets with two lists each at 200 requests in 10 s
    positions = 2 * 2_900_000 / (endpoints.PUBLISHED["/v2/positions"].requests / 10)
    assert found["hours"] * 3_600 >= positions
    night = found["one_night"]
    assert night["seconds"] == 8 * 3_600
    assert 0 < night["share"] < 0.5
    assert night["requests"] < found["requests"]
    text = desk.call("plan", "estimate").out
    assert " d " in text
    assert "one night of 8 h 00 min: " in text
    assert "sizes as published in mid-2026" in text
    assert "GB on disk" in text


def test_a_list_a_limit_and_a_time_to_stop(desk: desks.Desk) -> None:
    file = desk.folder / "sized.csv"
    file.write_text("".join(f"{number:040x},{4_000},{9 - number}\n" for number in range(1, 9)))
    desk.call("plan", "build", "--from", file)
    desk.environment.pop("BACKFILL_LIMITS")

    def wallets(*words: object) -> dict[str, int]:
        (part,) = desk.json("plan", "estimate", "wallets", *words)["parts"]
        return {name: part[name] for name in ("units", "requests", "rows")}

    assert wallets() == {"units": 8, "requests": 8 * 5, "rows": 32_000}
    assert wallets("--limit", 3) == {"units": 3, "requests": 3 * 5, "rows": 12_000}
    assert wallets("--limit", 3, "--skip", 7) == {"units": 1, "requests": 5, "rows": 4_000}
    assert wallets("--since", "2026-01-01") == {"units": 8, "requests": 8, "rows": None}
    soon = datetime.fromtimestamp(time.time() + 3_600).strftime("%H:%M")
    found = desk.json("plan", "estimate", "wallets", "--until", soon)
    assert found["until"]["requests"] == 40, "it is done long before"
    assert found["until"]["share"] == 1
    text = desk.call("plan", "estimate", "wallets", "--until", soon).out
    assert f"{soon}" in text
    assert "40 requests, 100 % of them" in text
    assert "the next night" not in text, "nothing is left for it"


def test_several_hosts_divide_what_has_keys(desk: desks.Desk) -> None:
    """Lists are read by one of them; the slowest budget decides, as on one address."""
    desk.environment.pop("BACKFILL_LIMITS")
    one, ten = (desk.json("plan", "estimate", "--hosts", count) for count in (1, 10))
    assert (one["hosts"], ten["hosts"]) == (1, 10)
    assert one["requests"] == ten["requests"]
    hours = {part["kind"]: part["hours"] for part in one["parts"]}
    for part in ten["parts"]:
        divided = 1 if part["kind"] in {"clob", "markets", "events"} else 10
        assert part["hours"] == pytest.approx(hours[part["kind"]] / divided), part["kind"]
    assert ten["hours"] == pytest.approx(one["hours"] / 10, rel=1e-3)
    assert ten["one_night"]["share"] > 2 * one["one_night"]["share"]
    assert " on 10 addresses, " in desk.call("plan", "estimate", "--hosts", 10).out
    refused = desk.call("plan", "estimate", "--hosts", 0, code=errors.EXIT_CONFIG)
    assert "--hosts 0: give the number of hosts" in refused.err


def test_what_nobody_knows_is_said(desk: desks.Desk) -> None:
    desk.plan_keys(*[f"{number:040x}" for number in range(1, 4)])
    text = desk.call("plan", "estimate").out
    assert "unknown: the rows of lookups, wallets, resolutions" in text
    # The history of each, two lists of positions, Polymarket's own figure.
    assert "at least 12 requests" in text
    unknown = desk.json("plan", "estimate")["unknown_rows"]
    assert unknown == ["lookups", "wallets", "resolutions"]


@pytest.mark.parametrize("words", [["--until", "25:00"], ["--since", "x"], ["--limit", "many"]])
def test_words_that_make_no_sense_are_refused(desk: desks.Desk, words: list[str]) -> None:
    assert desk.call("plan", "estimate", *words, code=errors.EXIT_CONFIG).err
