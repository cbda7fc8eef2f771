"""`polybackfill market-ids apply`: put found market ids into the table, or take them back."""

from __future__ import annotations

import argparse
import collections
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from polybackfill import errors, formats, records, settings
from polybackfill.inputs import lookup_results
from polybackfill.polymarket import market_matching
from polybackfill.reports import console_table
from polybackfill.run import bootstrap, market_id_results
from polybackfill.store import market_ids

_NAMED = 3  # examples in a refusal
_BY = "market-ids apply"


@dataclass(frozen=True)
class Change:
    """What an apply would do. `fresh`: mappings not in force yet; `trades`: trades it fills;
    `changed`: conditions in force with another market, left as they are.
    """

    fresh: list[market_ids.Listed]
    conditions: int
    trades: int
    user_conditions: int
    user_trades: int
    changed: list[str]


def apply(arguments: argparse.Namespace) -> int:
    """Show coverage before and after; write with --write; --revert takes the last one back."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    with market_id_results.hold_lock(chosen.backfill.data_dir):
        document = bootstrap.run(_apply(chosen, arguments))
    if arguments.json:
        bootstrap.print_json(document)
    else:
        _print(document, revert=arguments.revert)
    return errors.EXIT_UNITS_IN_ERROR if document.get("changed") else errors.EXIT_OK


async def _apply(chosen: settings.Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    async with market_id_results.open_store(chosen) as store:
        ids = market_ids.MarketIds(store)
        if arguments.revert:
            return await _revert(ids, write=arguments.write)
        path = arguments.source or chosen.backfill.data_dir / market_id_results.RESULT
        return await _fill(ids, path, write=arguments.write)


async def _fill(ids: market_ids.MarketIds, path: Path, *, write: bool) -> dict[str, Any]:
    results = lookup_results.read_any(path)
    change = await _checked(ids, results, path)
    before = await ids.coverage()
    user_before = await ids.user_coverage()
    after = market_ids.Coverage(
        before.trades,
        before.with_id + change.trades,
        before.conditions,
        before.conditions_with_id + change.conditions,
    )
    user_after = user_before and market_ids.Coverage(
        user_before.trades,
        user_before.with_id + change.user_trades,
        user_before.conditions,
        user_before.conditions_with_id + change.user_conditions,
    )
    done = None
    if write:
        done = await ids.apply(change.fresh, source=str(path), by=_BY, now=time.time())
        after, user_after = await ids.coverage(), await ids.user_coverage()
    return {
        "action": "apply",
        "written": done is not None,
        "asked_to_write": write,
        "apply_id": done.apply_id if done else None,
        "mappings": len(results.hits),
        "new_mappings": len(change.fresh),
        "fills": {"conditions": change.conditions, "trades": change.trades},
        "conflicts": len(results.conflicts),
        "changed": [records.show(condition) for condition in change.changed],
        "external_trades_raw": _sides(before, after),
        "trades_raw": _sides(user_before, user_after),
    }


async def _checked(
    ids: market_ids.MarketIds, results: lookup_results.LookupResults, path: Path
) -> Change:
    """What the map would change. Raises errors.Stop with the reason when it cannot be right."""
    applied = {one.condition_id: one.market_id async for one in ids.applied()}
    pairs = [(condition, hit.market_id) for condition, hit in results.hits.items()]
    _refuse_shared_markets([*pairs, *applied.items()], path)
    _refuse_foreign_tokens(results.hits.values(), path)
    await _refuse_foreign_markets(ids, dict(pairs), path)
    fresh = [
        market_ids.Listed(condition, market)
        for condition, market in pairs
        if condition not in applied
    ]
    known = {**dict(pairs), **applied}
    conditions = trades = user_conditions = user_trades = 0
    async for one in ids.missing(applied=True):
        if one.condition_id in known:
            conditions += one.trades > 0
            trades += one.trades
        if one.condition_id in known and one.condition_id not in applied:
            user_conditions += one.user_trades > 0
            user_trades += one.user_trades
    changed = [one for one, market in pairs if applied.get(one, market) != market]
    return Change(fresh, conditions, trades, user_conditions, user_trades, changed)


def _refuse_shared_markets(pairs: Iterable[tuple[str, str]], path: Path) -> None:
    """One market, one condition: otherwise a filter was ignored, and the map is worth nothing."""
    conditions: dict[str, set[str]] = collections.defaultdict(set)
    for condition, market in pairs:
        conditions[market].add(condition)
    crowded = sorted(
        ((len(named), market) for market, named in conditions.items() if len(named) > 1),
        reverse=True,
    )
    if crowded:
        shown = ", ".join(f"market {market} {count:,}" for count, market in crowded[:_NAMED])
        raise _refused(
            path,
            f"a market has one condition, and this map gives {shown} of them. The API has probably "
            "ignored the filter",
        )


def _refuse_foreign_tokens(hits: Iterable[lookup_results.Hit], path: Path) -> None:
    wrong = [
        hit
        for hit in hits
        if hit.token_ids
        and not isinstance(
            market_matching.match_market(hit.condition_id, hit.market_id, hit.token_ids, ()),
            market_matching.MatchedMarket,
        )
    ]
    if wrong:
        shown = ", ".join(
            f"{records.show(hit.condition_id)} → {hit.market_id}" for hit in wrong[:_NAMED]
        )
        raise _refused(
            path,
            f"the tokens of {formats.counted(len(wrong), 'market')} are not those of the "
            f"condition: {shown}",
        )


async def _refuse_foreign_markets(
    ids: market_ids.MarketIds, mapped: dict[str, str], path: Path
) -> None:
    """What the stored lists know of a market decides."""
    by_market = {market: condition for condition, market in mapped.items()}
    right: set[str] = set()
    others: dict[str, str] = {}
    async for one in ids.stream_lists():
        condition = by_market.get(one.market_id)
        if condition == one.condition_id:
            right.add(one.market_id)
        elif condition is not None:
            others[one.market_id] = one.condition_id
    wrong = [market for market in sorted(others) if market not in right]
    if wrong:
        shown = ", ".join(
            f"market {market} is {records.show(others[market])}, not "
            f"{records.show(by_market[market])}"
            for market in wrong[:_NAMED]
        )
        raise _refused(
            path,
            (
                f"{formats.counted(len(wrong), 'market belongs', 'markets belong')} to "
                f"other conditions: {shown}"
            ),
        )


def _refused(path: Path, why: str) -> errors.Stop:
    return errors.Stop(
        f"{path} is refused: {why}. Nothing was written; move the file and "
        f"{lookup_results.RESULTS} away, then polybackfill market-ids lookup and finalize"
    )


async def _revert(ids: market_ids.MarketIds, *, write: bool) -> dict[str, Any]:
    last = await ids.last_apply()
    if last is None:
        raise errors.Stop("there is no apply to undo: polybackfill market-ids apply --write")
    before, user_before = await ids.coverage(), await ids.user_coverage()
    document = {"action": "revert", "asked_to_write": write, "written": write, **asdict(last)}
    if write:
        await ids.revert(last, now=time.time())
        after, user_after = await ids.coverage(), await ids.user_coverage()
    else:
        after = await ids.coverage(without=last)
        user_after = await ids.user_coverage(without=last)
    return {
        **document,
        "external_trades_raw": _sides(before, after),
        "trades_raw": _sides(user_before, user_after),
    }


def _sides(
    before: market_ids.Coverage | None, after: market_ids.Coverage | None
) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    return {
        "before": {**asdict(before), "share": before.share},
        "after": {**asdict(after), "share": after.share},
    }


def _print(document: dict[str, Any], *, revert: bool) -> None:
    rows = []
    for table in ("external_trades_raw", "trades_raw"):
        for side in ("before", "after") if document[table] else ():
            counts = document[table][side]
            share = "n/a" if counts["share"] is None else f"{100 * counts['share']:.2f} %"
            rows.append(
                {
                    "table": table,
                    "": side,
                    "trades": counts["trades"],
                    "with market id": counts["with_id"],
                    "share": share,
                    "conditions": counts["conditions"],
                    "all with id": counts["conditions_with_id"],
                }
            )
    console_table.show("market ids", rows)
    if document["trades_raw"] and document["trades_raw"]["before"]["trades"]:
        print("trades_raw is yours and stays as it is: join condition_market_ids to it")
    if revert:
        print(
            f"{'undid' if document['written'] else 'would undo'} "
            f"{formats.counted(document['mappings'], 'mapping')} and the ids of "
            f"{formats.counted(document['trades'], 'trade')}"
        )
    else:
        fills = document["fills"]
        verb = "wrote" if document["asked_to_write"] else "would write"
        print(
            f"{verb} {formats.counted(document['new_mappings'], 'new mapping')} and the ids of "
            f"{formats.counted(fills['trades'], 'trade')} in "
            f"{formats.counted(fills['conditions'], 'condition')}"
        )
    for condition in document.get("changed", [])[:_NAMED]:
        print(f"  {condition} already has another market, which was kept")
    if not document["asked_to_write"]:
        print("nothing was written; add --write")
    elif not revert and document["written"]:
        print("  polybackfill market-ids apply --revert --write undoes it")
