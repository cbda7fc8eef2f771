"""`polybackfill dims build` and `dims explain`."""

from __future__ import annotations

import argparse
from typing import Any

from polybackfill import errors, settings
from polybackfill.filesystem import host_lock
from polybackfill.inputs import dimension_files, key_input
from polybackfill.reports import console_table, dimension_export
from polybackfill.run import bootstrap, name_resolution
from polybackfill.store import dimensions, taxonomy

# The report's fields in words, each below what it is a part of.
_WORDS = {
    "total_conditions_across_qualified_wallets": "conditions with trades",
    "conditions_in_markets_dim": "  of them among the markets below",
    "conditions_with_valid_market_id": "  of them with a market id",
    "markets_with_event_id": "  of them with an event",
    "markets_in_markets_dim": "markets",
    "markets_with_category": "  of them with a category",
    "markets_with_payouts": "  of them with payouts",
    "unique_events_in_events_dim": "events",
    "events_with_category": "  of them with a category",
}


def build(arguments: argparse.Namespace) -> int:
    """Make the dimension tables anew, then their files."""
    chosen = bootstrap.settings_of(arguments)
    folder = chosen.backfill.data_dir
    bootstrap.require_store(chosen)
    bootstrap.make_folder(folder, "BACKFILL_DATA_DIR")
    with host_lock.hold(folder / dimension_export.LOCK_FILE, "dims build"):
        report = bootstrap.run(_build(chosen))
    if arguments.json:
        bootstrap.print_json(report)
        return errors.EXIT_OK
    console_table.show("by category", report.pop("by_category"))
    for name, words in _WORDS.items():
        print(f"{report[name]:>12,}  {words}")
    names = (
        dimension_files.MARKETS_FILE,
        dimension_files.EVENTS_FILE,
        dimension_export.COVERAGE_FILE,
    )
    print(f"written: {', '.join(str(folder / name) for name in names)}")
    return errors.EXIT_OK


def explain(arguments: argparse.Namespace) -> int:
    """Show which tags put each market into its category."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    conditions = name_resolution.keys(chosen, key_input.conditions(arguments.condition))
    explanations = [_explanation(row) for row in bootstrap.run(_tagged(chosen, conditions))]
    unknown = set(conditions) - {row["condition"].removeprefix("0x") for row in explanations}
    if unknown:
        raise errors.Stop(
            f"no list has shown the market 0x{min(unknown)}: polybackfill run markets events"
        )
    if arguments.json:
        bootstrap.print_json(explanations)
        return errors.EXIT_OK
    for market in explanations:
        console_table.show("tags", market["tags"])
        points = ", ".join(f"{name} {count:,}" for name, count in market["points"].items())
        print(f"{market['question']} ({market['condition']}): {market['category']}")
        print(f"points: {points or 'none'}")
    return errors.EXIT_OK


def _explanation(row: dict[str, Any]) -> dict[str, Any]:
    words = taxonomy.explain(row["tags"])
    points = taxonomy.points(words)
    return {
        "condition": f"0x{row['condition_id']}",
        "question": row["question"],
        "category": taxonomy.category_of(row["tags"]),
        "points": dict(sorted(points.items(), key=lambda one: (-one[1], one[0]))),
        "tags": [
            {
                "tag": word.tag,
                "says": word.category,
                "kind": word.kind or "says nothing",
                "points": word.points,
            }
            for word in words
        ],
    }


async def _tagged(chosen: settings.Settings, conditions: list[str]) -> list[dict[str, Any]]:
    async with bootstrap.open_store(chosen) as store:
        return await dimensions.tags(store, conditions)


async def _build(chosen: settings.Settings) -> dict[str, Any]:
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await dimension_export.build(store, chosen)
