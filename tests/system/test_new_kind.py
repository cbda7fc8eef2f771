"""A new kind of unit is one module, one line in the list, one migration: nothing else.

`tests/system/new_kind` holds the module and the migration of a kind that the program does not have.
They are put into a copy of the source, which then fetches it, proves it, and notices its loss.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

SOURCE = Path(__file__).parents[2] / "src"
NEW_KIND = Path(__file__).parent / "new_kind"
LINE = '    "volumes": (Listed("volumes", ready=("conditions", "wallets")),),\n}\n'


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source with the new kind."""
    source = tmp_path_factory.mktemp("extended") / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    kinds, schema = source / "polybackfill" / "kinds", source / "polybackfill" / "store" / "schema"
    shutil.copy(NEW_KIND / "volumes.py", kinds)
    newest = max(int(path.name[:3]) for path in schema.glob("*.sql"))
    shutil.copy(NEW_KIND / "volumes.sql", schema / f"{newest + 1:03d}_volumes.sql")
    listing = (kinds / "__init__.py").read_text()
    assert listing.count("\n}\n") == 1
    (kinds / "__init__.py").write_text(listing.replace("}\n", LINE))
    return source


@pytest.fixture(scope="module")
def ground(
    extended: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[harness.Ground, harness.Sandbox]]:
    """A run of everything by the extended program, ended."""
    with (
        harness.sandbox(trades=3_000, wallets=40, markets=40) as sandbox,
        harness.ground(tmp_path_factory.mktemp("ground"), sandbox.url) as ground,
    ):
        ground.environment["PYTHONPATH"] = str(extended)
        ended = ground.run("run", "--json")
        ended.expect(0)
        part = json.loads(ended.out)["parts"]["volumes"]
        assert (part["error"], part["done"]) == (0, part["units"])
        assert part["done"] > 0
        yield ground, sandbox


def test_its_rows_are_what_the_api_says(ground: tuple[harness.Ground, harness.Sandbox]) -> None:
    running, sandbox = ground
    true = sandbox.truth()["user_volume"]
    (stored,) = running.sql("SELECT count() AS wallets, sum(trade_count) AS fills FROM api_volumes")
    (planned,) = running.sql("SELECT count() AS n FROM wallet_backfill_plan")
    assert stored["wallets"] == planned["n"]
    assert stored["fills"] == true["trades"]


def test_people_see_it_everywhere(ground: tuple[harness.Ground, harness.Sandbox]) -> None:
    running, sandbox = ground
    assert "volumes" in running.run("run", "--help").out
    estimate = json.loads(running.run("plan", "estimate", "volumes", "--json").out)
    assert [part["kind"] for part in estimate["parts"]] == ["volumes"]
    receipts = json.loads(
        running.run("check", "receipts", "volumes", "--limit", "999", "--json").out
    )
    (planned,) = running.sql("SELECT count() AS n FROM wallet_backfill_plan")
    keys = {one["keys"][0] for one in receipts["receipts"]}
    assert receipts["found"] == len(keys) == planned["n"] > 0
    report = running.run("report", "coverage", "--json")
    report.expect(0)
    shares = {part["name"]: part["share"] for part in json.loads(report.out)["parts"]}
    assert shares["volumes"] == 1
    checked = running.run("validate", "--only", "duplicates", "--only", "lists", "--json")
    checked.expect(0)
    assert "repeated_in_api_volumes" in checked.out
    typed = running.run("run", "volumes", "--wallet", sandbox.wallets[0], "--json")
    typed.expect(0)


def test_its_loss_is_noticed_and_mended(ground: tuple[harness.Ground, harness.Sandbox]) -> None:
    running, _ = ground
    (before,) = running.sql("SELECT count() AS n FROM api_volumes")
    running.run("sql", "ALTER TABLE api_volume_rows DELETE WHERE true").expect(0)
    checked = running.run("validate", "--only", "lists")
    checked.expect(3)
    assert re.search(r"volumes [0-9a-f]{40}", checked.out), "examples of what is gone"
    assert "markets events positions resolutions user-stats volumes" in checked.out
    running.run("sql", "DROP TABLE api_volume_rows SYNC").expect(0)
    ended = running.run("run", "volumes")
    ended.expect(0)
    assert re.search(r"fetched again: \d+ volumes", ended.err), "receipts without their rows"
    (after,) = running.sql("SELECT count() AS n FROM api_volumes")
    assert after == before
