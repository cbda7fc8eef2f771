"""Each assumption broken in the sandbox is named; where all is whole, nothing is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests import harness

from polybackfill.probe import assumption_list, runner
from polybackfill.probe.assumption import Outcome
from polybackfill.run import run_request

from .breaks import BREAKS
from .conftest import Probe, probing

_ALL = {one.name: one for one in assumption_list.ASSUMPTIONS}
_CASES = [
    pytest.param(name, rules, id=f"{name}-{number}")
    for name, breaks in BREAKS.items()
    for number, rules in enumerate(breaks)
]
_NO_ANSWER = ("429_json", "500", "503", "502", "403_html", "reset", "truncated", "invalid_json")


def test_the_list_is_whole() -> None:
    """Every entry has a name of its own, a break, and words a person can read at 80 columns."""
    assert set(BREAKS) == set(_ALL)
    assert len(_ALL) == len(assumption_list.ASSUMPTIONS)
    for one in _ALL.values():
        assert one.kinds or not one.loses_rows, f"{one.name} stops nothing"
        assert all(len(text) <= 70 for text in (one.request, one.expected, one.needed_for)), one


def test_every_kind_of_unit_stands_on_something() -> None:
    kinds = {kind for part in run_request.PARTS.values() for kind in part}
    assert {kind for one in _ALL.values() if one.loses_rows for kind in one.kinds} == kinds


async def test_all_is_whole(probe: Probe, sandbox: harness.Sandbox) -> None:
    findings, requests = await probe()
    assert {name: one.seen for name, one in findings.items() if one.outcome != Outcome.HOLDS} == {}
    assert requests == sandbox.requests()
    assert requests < runner.MAX_REQUESTS
    assert all(one.requests for name, one in findings.items())


@pytest.mark.parametrize(("name", "rules"), _CASES)
async def test_a_break_is_noticed(
    name: str, rules: list[dict[str, Any]], probe: Probe, sandbox: harness.Sandbox
) -> None:
    sandbox.faults(*rules)
    findings, _ = await probe(name)
    assert findings[name].outcome is Outcome.BROKEN, findings[name].seen
    assert findings[name].seen
    assert sandbox.url not in findings[name].seen, "a base URL may hold a secret"


async def test_a_break_is_noticed_among_all_others(probe: Probe, sandbox: harness.Sandbox) -> None:
    """In the whole list, with the requests of the whole list."""
    sandbox.faults({"kind": "rows_lost", "route": "positions", "match": "cursor="})
    findings, requests = await probe()
    broken = [name for name, one in findings.items() if one.outcome is Outcome.BROKEN]
    assert broken == ["positions.cursor"]
    assert requests <= runner.MAX_REQUESTS


async def test_one_odd_answer_is_no_change(probe: Probe, sandbox: harness.Sandbox) -> None:
    sandbox.faults({"kind": "rows_lost", "route": "trades", "match": "cursor=", "count": 1})
    findings, _ = await probe("trades.cursor")
    assert findings["trades.cursor"].outcome is Outcome.HOLDS
    assert sandbox.fired() == {"rows_lost": 1}


@pytest.mark.parametrize("kind", _NO_ANSWER)
async def test_transport_trouble_breaks_nothing(
    kind: str, probe: Probe, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": kind, "retry_after_s": 0})
    findings, requests = await probe(longest_s=0.3)
    verdicts = [one.outcome for one in findings.values()]
    assert Outcome.BROKEN not in verdicts
    assert not [one.seen for one in findings.values() if sandbox.url in one.seen]
    assert verdicts.count(Outcome.UNKNOWN) > 0.9 * len(verdicts)
    assert requests <= runner.MAX_REQUESTS


async def test_a_gateway_that_refuses_everything_breaks_nothing(
    probe: Probe, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "404"})
    findings, requests = await probe()
    # That what does not exist is answered with 404 is seen all the same.
    assert Outcome.BROKEN not in {one.outcome for one in findings.values()}
    assert "the host refuses all" in findings["order_book.envelope"].seen
    assert requests <= runner.MAX_REQUESTS


async def test_a_route_that_is_gone_is_named(probe: Probe, sandbox: harness.Sandbox) -> None:
    sandbox.faults({"kind": "404", "route": "positions"})
    findings, _ = await probe()
    broken = {name for name, one in findings.items() if one.outcome is Outcome.BROKEN}
    assert {name for name in broken if not name.startswith("positions.")} == set()
    assert "positions.fields" in broken
    assert "404" in findings["positions.fields"].seen


async def test_an_api_that_never_answers(probe: Probe, sandbox: harness.Sandbox) -> None:
    sandbox.faults({"kind": "hang"})
    began = time.monotonic()
    findings, _ = await probe(longest_s=0.5)
    assert {one.outcome for one in findings.values()} == {Outcome.UNKNOWN}
    assert time.monotonic() - began < 5.0


async def test_one_host_that_is_out_leaves_the_others(
    probe: Probe, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "503", "route": "clob", "retry_after_s": 0})
    findings, _ = await probe(longest_s=5.0)
    unknown = {name for name, one in findings.items() if one.outcome is not Outcome.HOLDS}
    assert unknown == {name for name in _ALL if name.startswith("order_book.")}
    assert {findings[name].outcome for name in unknown} == {Outcome.UNKNOWN}


async def test_a_row_or_two_that_nobody_can_read_break_nothing(
    probe: Probe, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "bad_row"})
    names = [name for name in _ALL if name.endswith(".fields") and name != "service.fields"]
    findings, _ = await probe(*names)
    assert {findings[name].outcome for name in names} == {Outcome.HOLDS}
    assert "1 of" in findings["trades.fields"].seen


@pytest.mark.recorded
async def test_recorded_answers_are_whole(recorded_dir: Path) -> None:
    """What was recorded of the live services holds, as far as it shows anything."""
    with harness.sandbox(trades=0, replay=recorded_dir) as recorded:
        async with probing(recorded.url) as look:
            findings, requests = await look()
    wrong = {
        name: one.seen
        for name, one in findings.items()
        if one.outcome not in {Outcome.HOLDS, Outcome.UNSEEN}
    }
    assert wrong == {}
    assert sum(one.outcome is Outcome.HOLDS for one in findings.values()) > 0.8 * len(findings)
    assert requests < runner.MAX_REQUESTS


@pytest.mark.long
@pytest.mark.parametrize(
    ("trades", "wallets", "markets"), [(6_500, 40, 40), (20_000, 300, 200), (300_000, 2_000, 3_000)]
)
async def test_at_the_pace_of_the_live_service(trades: int, wallets: int, markets: int) -> None:
    """Under 60 requests and a minute at 0.6 s a page, within the published limits."""
    with harness.sandbox(
        trades=trades, wallets=wallets, markets=markets, latency_ms=600.0
    ) as running:
        async with probing(running.url) as look:
            began = time.monotonic()
            findings, requests = await look()
    assert {name: one.seen for name, one in findings.items() if one.outcome != Outcome.HOLDS} == {}
    assert requests < runner.MAX_REQUESTS
    assert time.monotonic() - began < runner.LONGEST_S
