"""Texts of the API that command terminals, turn the direction of writing, are markup or endless:
none of it reaches a screen, a log or a report as it came.
"""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness, small_api

from polybackfill.reports import category_breakdown

# Clear the screen, set its title, C1, bells; from right to left; a second line; markup; endless.
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\u200f\u061c\u2066\r\nFAKE LINE\u2028\x85"
    "| `code` <script>alert(1)</script> [here](http://x.invalid) =cmd()" + "long " * 4_000
)
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
COMMANDS = (
    "status",
    "check plan",
    "check progress",
    "check receipts",
    "check trades",
    "plan show",
    "quarantine list",
    "validate --offline",
    "report coverage",
    "report morning",
    "report categories",
    f"report wallet {small_api.wallet_of('w')}",
    f"report market {small_api.condition_of('m')}",
    "dims build",
    "watchlist list",
    "market-ids status",
    "doctor",
    "support-bundle --offline --yes",
)
PRINTED = {
    "sql": "SELECT question, market_slug FROM api_markets_staging",
    "events": "SELECT title, event_slug FROM api_events_staging",
    "fills": "SELECT market_question, outcome FROM external_trades_raw",
    "errors": "SELECT error_message FROM wallet_backfill_plan",
}
LINE_MAX = 30_000  # characters: bounds what one text may add to a log


def harmless(text: str, where: str) -> None:
    """Nothing in it that a terminal would obey."""
    found = OBEYED.search(text)
    assert found is None, f"{where}: {text[max(0, found.start() - 60) : found.end() + 60]!r}"


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """What a whole run has left of such texts, with a row set aside and a wallet in error."""
    now = int(time.time())
    api = small_api.SmallApi(
        activity=[small_api.trade("w", "m", 0, "BUY", 100.0, 0.4, now - 90_000)],
        markets=[
            small_api.market(400, "m", ["1", "0"], closed=True, start=now - 3 * small_api.DAY_S)
        ],
        positions=[small_api.position("w", "m", 0, 100.0, now - 90_000)],
        resolutions=[small_api.resolution("m", [1_000_000, 0])],
    )
    api.activity[0] |= {"title": HOSTILE, "outcome": HOSTILE, "name": HOSTILE, HOSTILE[:90]: 1}
    bad = small_api.trade("w", "m", 0, "BUY", HOSTILE, 0.4, now - 80_000)
    api.activity.append(bad | {"type": HOSTILE})
    api.activity += [small_api.trade("w", "m", 1, "BUY", n, 0.4, now - 70_000 + n) for n in (1, 2)]
    api.markets[0] |= {"question": HOSTILE, "description": HOSTILE, "category": HOSTILE}
    event = {"id": "1400", "slug": HOSTILE, "title": HOSTILE, "closed": True}
    event |= {"tags": [{"id": "1", "label": HOSTILE, "slug": HOSTILE}]}
    api.events.append(event | {"startDate": api.markets[0]["startDate"]})
    folder = tmp_path_factory.mktemp("hostile")
    with (
        small_api.serving(api),
        harness.ground(folder, api.url, prepared=prepared, reports="true") as ground,
    ):
        ground.serve()
        ended = ground.run("run")
        ended.expect(0, 3)
        harmless(ended.out + ended.err, "run")
        yield ground


@pytest.mark.parametrize("command", COMMANDS)
def test_what_commands_print(command: str, place: harness.Ground) -> None:
    ended = place.run(*command.split())
    ended.expect(0, 3)
    harmless(ended.out + ended.err, command)
    if "--json" in place.run(*command.split()[:2], "--help").out:
        harmless(place.run(*command.split(), "--json").out, f"{command} --json")


@pytest.mark.parametrize("statement", PRINTED.values(), ids=PRINTED)
def test_tables(statement: str, place: harness.Ground) -> None:
    for layout in ("PrettyCompact", "Vertical"):
        ended = place.run("sql", statement, "--format", layout)
        ended.expect(0)
        assert ended.out.strip(), "a table without rows shows nothing"
        harmless(ended.out, statement)


def test_what_a_run_writes(place: harness.Ground) -> None:
    place.run("report", "coverage").expect(0, 3)
    place.run("report", "wallet", small_api.wallet_of("w")).expect(0)
    place.run("report", "market", small_api.condition_of("m")).expect(0)
    for file in [*place.data.glob("log/*.jsonl"), *place.data.glob("status/*.json")]:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert max(map(len, lines)) < LINE_MAX, file
        harmless("\n".join(lines), file.name)
    for file in [*place.data.glob("*.md"), *place.data.glob("*.html")]:
        text = file.read_text(encoding="utf-8")
        harmless(text, file.name)
        assert "<script>alert" not in text, file
        assert "[here](http" not in text, file
        assert "long " * 200 not in text, file
    assert (place.data / category_breakdown.FILE).is_file()


def test_a_bundle(place: harness.Ground, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.tar.gz"
    place.run("support-bundle", "--offline", "--yes", "--output", str(archive)).expect(0)
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            content = opened.extractfile(member)
            assert content is not None
            harmless(content.read().decode(), member.name)
