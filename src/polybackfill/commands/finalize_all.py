"""`polybackfill finalize-all`: the last steps of market ids and categories, in order.

Each step is the command of its own name; the first that is not satisfied ends the chain with its
exit code. Nothing begins while a prerequisite is missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polybackfill import errors, formats, settings
from polybackfill.inputs import dimension_files, lookup_results
from polybackfill.reports import category_breakdown, console_table, dimension_export
from polybackfill.run import bootstrap, category_report, market_id_results

_MIN_BYTES = 100  # seed 004: a smaller file holds nothing
_LEVELS = (50, 80, 95)  # percent of a wallet's markets that are resolved
# File → the command that writes it.
_NEEDED = {
    lookup_results.RESULTS: "polybackfill market-ids lookup",
    dimension_files.MARKETS_FILE: "polybackfill dims build",
    dimension_files.EVENTS_FILE: "polybackfill dims build",
}
_WRITTEN = (
    lookup_results.RESULTS,
    market_id_results.RESULT,
    dimension_files.MARKETS_FILE,
    dimension_files.EVENTS_FILE,
    dimension_export.COVERAGE_FILE,
    category_breakdown.FILE,
)
_DISTRIBUTION = "SELECT count() AS wallets, {counts} FROM wallet_pnl".format(
    counts=", ".join(f"countIf(coverage_pct >= {level}) AS from_{level}" for level in _LEVELS)
)


def finalize_all(arguments: argparse.Namespace) -> int:
    """Run the steps; list the files, the distribution of coverage and sample sentences."""
    chosen = bootstrap.settings_of(arguments)
    folder = chosen.backfill.data_dir
    _require(chosen)
    of_ids = market_id_results.write_result(folder)["metadata"]
    if of_ids["conflicts"]:
        return _stopped(arguments, of_ids)
    # `trades_raw` alone has market ids to finalize, and no trades for profit and loss.
    categories = category_report.write_report(chosen, may_be_empty=True)
    document = {
        "market_ids": of_ids,
        "categories": categories,
        "files": [
            {"file": str(folder / name), "bytes": (folder / name).stat().st_size}
            for name in _WRITTEN
            if (folder / name).is_file()
        ],
        "coverage": bootstrap.run(_distribution(chosen)),
    }
    if arguments.json:
        bootstrap.print_json(document)
    else:
        _print(document)
    return errors.EXIT_OK


def _require(chosen: settings.Settings) -> None:
    """Raise errors.Stop that names what is missing. Lookups are not where a run found all ids."""
    missing = {
        name: f"{path} {'holds nothing' if path.is_file() else 'does not exist'} ({command})"
        for name, command in _NEEDED.items()
        if _is_empty(path := chosen.backfill.data_dir / name)
    }
    if set(missing) == {lookup_results.RESULTS} and bootstrap.run(
        market_id_results.has_all_ids(chosen)
    ):
        del missing[lookup_results.RESULTS]
    if missing:
        raise errors.Stop(f"finalize-all cannot begin: {'; '.join(missing.values())}")


def _is_empty(path: Path) -> bool:
    return not path.is_file() or path.stat().st_size < _MIN_BYTES


def _stopped(arguments: argparse.Namespace, of_ids: dict[str, Any]) -> int:
    if arguments.json:
        bootstrap.print_json({"stopped_at": "market-ids finalize", "market_ids": of_ids})
    else:
        print(
            "stopped at market-ids finalize: conditions with several markets: "
            f"{of_ids['conflicts']:,}; polybackfill market-ids finalize names them"
        )
    return errors.EXIT_UNITS_IN_ERROR


async def _distribution(chosen: settings.Settings) -> dict[str, int]:
    async with bootstrap.open_store(chosen) as store:
        return (await store.rows(_DISTRIBUTION))[0]


def _print(document: dict[str, Any]) -> None:
    ids = document["market_ids"]
    print(
        f"market ids: {ids['valid_mappings']:,} of "
        f"{formats.counted(ids['total_lookups'], 'condition')}"
    )
    console_table.show("files", document["files"])
    coverage = document["coverage"]
    if not coverage["wallets"]:
        print("no wallet has profit and loss: it is computed from external_trades_raw, pm_trades")
        print("and vw_trades_canonical, which hold no trade (polybackfill run)")
    print(f"wallets by coverage ({coverage['wallets']:,} in all):")
    for level in _LEVELS:
        print(f"  {level} % and more: {coverage[f'from_{level}']:,}")
    for sentence in document["categories"]["samples"]:
        print(sentence)
