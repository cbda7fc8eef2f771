"""The morning report of a real run: exactly the faults that were put in, and what changed."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import browser, harness

from polybackfill import terminal

SECRET = "horse-battery-staple"
FILES = ("MORNING_REPORT.html", "MORNING_REPORT.json", "MORNING_REPORT.txt")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    """A universe that is read in seconds."""
    with harness.sandbox(trades=3_000, wallets=40, markets=40) as running:
        yield running


@pytest.fixture(scope="module")
def nights(
    tmp_path_factory: pytest.TempPathFactory,
    sandbox: harness.Sandbox,
    prepared: harness.PreparedStore,
) -> Iterator[tuple[harness.Ground, list[dict[str, Any]]]]:
    """A place after two nights, the first with faults, and the JSON report of each."""
    folder = tmp_path_factory.mktemp("nights")
    with harness.ground(
        folder, sandbox.url, prepared=prepared, reports="true", backoff_cap_s=0.1
    ) as ground:
        # The error of a refused request names the URL.
        ground.set(data_url=f"{sandbox.url.replace('//', f'//reader:{SECRET}@')}/data")
        ground.serve()
        refused = {"kind": "400", "route": "activity", "match": sandbox.wallets[0]}
        sandbox.faults(
            refused,
            {"kind": "500", "route": "positions", "count": 2},
            {"kind": "bad_row", "route": "activity", "count": 1},
            {"kind": "unknown_field", "route": "trades", "count": 1},
        )
        documents = []
        for faulty in (True, False):
            ended = ground.run("run")
            ended.expect(3)
            assert "the night on one page" in ended.out
            if faulty:
                sandbox.reset()
            documents.append(json.loads((ground.data / "MORNING_REPORT.json").read_bytes()))
        yield ground, documents


Nights = tuple[harness.Ground, list[dict[str, Any]]]


def part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (one for one in document["coverage"]["parts"] if one["name"] == name)
    return found


def test_the_faults_of_the_night_and_no_others(nights: Nights, sandbox: harness.Sandbox) -> None:
    _, (first, _) = nights
    (cause,) = first["errors"]
    assert (cause["units"], cause["kinds"], cause["is_passing"]) == (1, ["wallets"], False)
    assert "400" in cause["message"]
    assert "plan reset --errors" in cause["remedy"]
    (aside,) = first["set_aside"]
    assert aside["rows"] == 1
    (fields,) = first["drift"]["unknown_fields"].values()
    assert len(fields) == 1
    slow = {one["where"]: one["what"] for one in first["slowdowns"]}
    assert slow == {"/v2/positions": "2 requests sent again, 0 responses unreadable"}
    unproven = {one["name"]: one["unproven"] for one in first["coverage"]["parts"]}
    assert {name for name, listed in unproven.items() if listed} == {"wallets"}
    (missing,) = unproven["wallets"]
    assert (missing["key"], missing["state"]) == (sandbox.wallets[0], "error")
    assert first["lead"].endswith("To look at: 1 unit in error, 1 row set aside.")


def test_the_night_before_is_unknown_at_first_and_known_afterwards(nights: Nights) -> None:
    ground, (first, second) = nights
    assert first["before"] is None
    assert second["before"] == first["now"]
    assert first["now"]["rows"]["external_trades_raw"] > 0
    assert second["now"]["rows"] == first["now"]["rows"], "nobody has traded since"
    assert second["now"]["leaders"] == first["now"]["leaders"] != []
    again = json.loads(ground.run("report", "morning", "--json").out)
    assert again["before"] == first["now"], "a report made twice is still that of one night"
    kept = ground.data / "morning_nights.json"
    content = kept.read_bytes()
    kept.write_bytes(content[:-20])
    lost = json.loads(ground.run("report", "morning", "--json").out)
    kept.write_bytes(content)
    assert lost["before"] is None


def test_it_agrees_with_the_tables(nights: Nights) -> None:
    ground, (_, second) = nights
    (counts,) = ground.sql(
        "SELECT uniqExact(wallet_address) AS wallets, uniqExact(condition_id) AS markets "
        "FROM external_trades_raw"
    )
    assert second["now"]["wallets"] == counts["wallets"]
    assert second["now"]["markets"] == counts["markets"]
    leaders = ground.sql(
        "SELECT concat('0x', wallet_address) AS wallet FROM wallet_pnl WHERE economic_pnl_usd > 0 "
        "ORDER BY economic_rank LIMIT 10"
    )
    assert [one["wallet"] for one in second["now"]["leaders"]] == [one["wallet"] for one in leaders]
    told = ground.run("plan", "estimate", "--json")
    assert second["tonight"]["requests"] == json.loads(told.out)["requests"]


def test_text_page_and_document_say_the_same(nights: Nights) -> None:
    ground, _ = nights
    ended = ground.run("report", "morning")
    ended.expect(0)
    page, document, text = ((ground.data / name).read_text() for name in FILES)
    facts = json.loads(document)
    words = " ".join(text.split())
    for sentence in (facts["lead"], facts["errors"][0]["remedy"], facts["errors"][0]["message"]):
        assert " ".join(sentence.split()) in words
        assert html.escape(sentence, quote=False) in html.unescape(page).replace("&", "&amp;")
    for content in (page, document, text, ended.out):
        assert SECRET not in content
    assert "<script" not in page
    assert "src=" not in page
    assert max(map(terminal.cells, ended.out.splitlines()[:-2])) <= 200


def test_what_is_not_known_is_said(nights: Nights) -> None:
    """Without the store the files of the run still tell what they know."""
    ground, _ = nights
    away = {"CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": "9", "CLICKHOUSE_PASSWORD": "x"}
    ground.environment |= away
    try:
        ended = ground.run("report", "morning", "--json", "--output", str(ground.folder / "m.txt"))
    finally:
        for name in away:
            del ground.environment[name]
    ended.expect(75)
    facts = json.loads(ended.out)
    assert facts["coverage"] is facts["now"] is facts["tonight"] is facts["set_aside"] is None
    assert len(facts["errors"]) == 1
    assert "What is proven is unknown" in facts["lead"]
    assert "Unknown: rows set aside." in facts["lead"]


@pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.MISSING)
@pytest.mark.parametrize("columns", [360, 1400])
def test_a_browser_shows_it(nights: Nights, columns: int, tmp_path: Path) -> None:
    """It fits without scrolling sideways, loads nothing, and says nothing on the console."""
    ground, _ = nights
    assert browser.CHROMIUM is not None
    page = html.escape((ground.data / FILES[0]).read_text(), quote=True)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe style="width:{columns}px;height:900px;border:0" srcdoc="{page}"></iframe><script>'
        "onload = () => { const seen = frames[0], root = seen.document.documentElement;"
        "document.title = [root.scrollWidth, seen.document.querySelectorAll('h2').length,"
        "seen.performance.getEntriesByType('resource').length].join() }</script>"
    )
    shown = subprocess.run(
        [
            browser.CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--dump-dom", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1600,1000"),
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "CONSOLE" not in shown.stderr
    seen = re.search(r"<title>(\d+),(\d+),(\d+)</title>", shown.stdout)
    assert seen is not None
    width, sections, loaded = map(int, seen.groups())
    assert (width <= columns, sections, loaded) == (True, 8, 0)
