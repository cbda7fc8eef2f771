"""config/prometheus.yml, its alert rules and config/grafana.json are true of the real endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from tests.integration.monitoring import promql
from tests.unit.monitoring import conftest

from polybackfill.monitoring import latest_facts, metric_list

CONFIG = Path(__file__).resolve().parents[3] / "config"
RULES = yaml.safe_load((CONFIG / "prometheus-alerts.yml").read_text())
SCRAPING = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
DASHBOARD = json.loads((CONFIG / "grafana.json").read_text())

EVENING = 1_795_980_000.0  # 2026-11-29 19:20 UTC
MORNING = EVENING + 12.5 * 3_600
DURATION = re.compile(r"[0-9]+(ms|s|m|h|d)")
TEMPLATE = re.compile(r"\{\{ (\$value|\$labels\.\w+)( \| (humanize\w*))? \}\}")
# What a run that is well looks like.
WELL = {
    "out": {},
    "held_back": {},
    "pauses": {},
    "stop_at": None,
    "following": None,
    "parts": {"wallets": conftest.part(error=0, set_aside=0, unknown_fields={})},
}


FOLLOWING = {"since": 1_795_979_000, "fresh_to": 1_795_979_995, "lag_s": 5.0, "gaps": []}


def rules() -> Iterator[dict[str, Any]]:
    for group in RULES["groups"]:
        assert set(group) == {"name", "rules"}
        yield from group["rules"]


def panel_queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$instance", ".*")


QUERIES = list(panel_queries())
ALERTS = {rule["alert"]: rule for rule in rules()}


async def scrape(latest: latest_facts.LatestFacts, at: float, **changed: Any) -> promql.Scrape:
    """What the endpoint sends of a picture, over HTTP with its token."""
    latest.publish(conftest.picture(now=at, **changed))
    headers = {"Authorization": f"Bearer {conftest.TOKEN}"}
    async with (
        conftest.listening(latest) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/metrics", headers=headers) as response,
    ):
        assert response.status == 200
        return promql.make_scrape(at, await response.text())


def sick_part(pages: int) -> dict[str, Any]:
    return conftest.part(error=60, pages=pages, set_aside=3, unknown_fields={"newField": 1})


def sick(number: int) -> dict[str, Any]:
    """A run in trouble, at its n-th scrape."""
    budget = conftest.budget(refusals=100 * number, violations=number, sent=5_000 + number)
    full = {"free_bytes": 600_000_000, "stop_below_bytes": 500_000_000}
    return {
        "still_s": 700.0,
        "store_wait_s": 90.0,
        "share": 0.5,
        "source_lag_s": 700.0,
        "following": FOLLOWING | {"lag_s": 700.0, "gaps": [[1_795_979_900, 1_795_979_960]]},
        "budgets": {"/v2/trades": budget},
        "parts": {"wallets": sick_part(1_000 * number)},
        "outcomes": {"/v2/trades": {"response": 10 + number, "retry": 100 * number}},
        "machine": {"memory_bytes": 1, "checkpoint_age_s": 1_000.0, "disks": {"data": full}},
    }


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS.keys())
def test_a_rule_is_one_that_prometheus_loads(rule: dict[str, Any]) -> None:
    """As `promtool check rules` looks at it: fields, expression, duration, templates."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Za-z_]\w*", rule["alert"])
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}
    for text in rule["annotations"].values():
        assert "{{" not in TEMPLATE.sub("", text), text
    promql_parser.parse(rule["expr"])


def test_the_scrape_configuration_reads_the_rules_and_sends_the_token() -> None:
    assert SCRAPING["rule_files"] == ["prometheus-alerts.yml"]
    (job,) = SCRAPING["scrape_configs"]
    assert set(job) == {"job_name", "authorization", "static_configs"}
    assert job["authorization"] == {"credentials_file": "listen.token"}
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9464"]}]


def test_every_metric_that_is_asked_for_is_one() -> None:
    known = {f"{metric_list.PREFIX}{metric.name}" for metric in metric_list.METRICS}
    texts = [*QUERIES, *(rule["expr"] for rule in ALERTS.values())]
    names = {name for text in texts for name in re.findall(r"polybackfill_\w+", text)}
    assert names - known == set()


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        assert panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)


async def test_every_query_of_the_dashboard_shows_something_of_a_run() -> None:
    latest = latest_facts.LatestFacts("main")
    scrapes = []
    for number in range(3):
        budgets = {"/v2/trades": conftest.budget(sent=5_000 + 100 * number)}
        at = EVENING + 15.0 * number
        scrapes.append(await scrape(latest, at, budgets=budgets, rows={"t": number * 1_000}))
    for query in QUERIES:
        value = promql.evaluate(query, scrapes)
        assert isinstance(value, dict)
        assert value, query
    (rate,) = promql.evaluate("sum(rate(polybackfill_rows_total[1m]))", scrapes).values()
    assert rate == pytest.approx(1_000 / 15)


async def test_a_key_in_error_is_not_shown_as_proven() -> None:
    (panel,) = (one for one in DASHBOARD["panels"] if one["title"] == "Keys proven, by part")
    (query,) = (target["expr"].replace("$instance", ".*") for target in panel["targets"])
    parts = {
        "wallets": conftest.part(units=1_000, done=600, error=300),
        "positions": conftest.part(share=None),
    }
    shown = promql.evaluate(
        query, [await scrape(latest_facts.LatestFacts("main"), EVENING, parts=parts)]
    )
    assert isinstance(shown, dict)
    assert {dict(labels)["part"]: value for labels, value in shown.items()} == {"wallets": 0.6}


def due(scrapes: list[promql.Scrape]) -> set[str]:
    """The alerts whose expression holds at the last scrape."""
    return {name for name, rule in ALERTS.items() if promql.evaluate(rule["expr"], scrapes)}


async def test_no_rule_speaks_of_a_run_that_is_well() -> None:
    latest = latest_facts.LatestFacts("main")
    scrapes = [await scrape(latest, EVENING + 60.0 * number, **WELL) for number in range(3)]
    assert due(scrapes) == set()
    followed = await scrape(latest, EVENING + 180.0, **(WELL | {"following": FOLLOWING}))
    assert due([*scrapes, followed]) == set()


async def test_every_rule_speaks_of_a_run_in_trouble() -> None:
    latest = latest_facts.LatestFacts("main")
    scrapes = [await scrape(latest, MORNING + 60.0 * number, **sick(number)) for number in range(3)]
    assert due(scrapes) == ALERTS.keys() - {"PolybackfillDied"}


async def test_a_run_that_ends_with_work_left_has_died() -> None:
    latest = latest_facts.LatestFacts("main")
    gone = promql.make_scrape(EVENING + 60.0, None)
    for changed, died in (
        ({"eta_s": 5_000.0}, True),
        ({"eta_s": 60.0}, False),
        ({"eta_s": None}, True),
        ({"eta_s": None, "state": "finishing"}, False),
        ({"eta_s": 60.0, "state": "failed"}, True),
        ({"eta_s": 0.0, "following": conftest.picture()["following"]}, True),
        ({"eta_s": 5_000.0, "stop_at": EVENING + 30.0}, False),
        ({"eta_s": 5_000.0, "stop_at": EVENING + 3_600.0}, True),
    ):
        scrapes = [await scrape(latest, EVENING, **(WELL | changed)), gone]
        assert due(scrapes) == ({"PolybackfillDied"} if died else set()), changed


@pytest.mark.parametrize(
    ("second", "is_due"),
    [(EVENING, False), (MORNING - 1.5 * 3_600, False), (MORNING, True), (MORNING + 7_200, False)],
)
async def test_the_morning_rule_speaks_in_the_morning(second: float, is_due: bool) -> None:
    latest = latest_facts.LatestFacts("main")
    alerts = due([await scrape(latest, second, **WELL)])
    assert alerts == ({"PolybackfillNotProvenByMorning"} if is_due else set())
    proven = await scrape(latest, second, **(WELL | {"share": 1.0}))
    assert "PolybackfillNotProvenByMorning" not in due([proven])


@pytest.mark.parametrize(
    "unproven",
    [
        {"parts": {"wallets": conftest.part(error=1, set_aside=0)}},
        {"parts": {"wallets": conftest.part(error=0, set_aside=1)}},
        {"held_back": {"wallets": "the API has changed"}},
    ],
)
async def test_what_is_in_error_set_aside_or_held_back_is_not_proven_by_morning(
    unproven: dict[str, Any],
) -> None:
    latest = latest_facts.LatestFacts("main")
    seen = await scrape(latest, MORNING, **(WELL | {"share": 1.0} | unproven))
    assert "PolybackfillNotProvenByMorning" in due([seen])
