"""`polybackfill market-ids lookup`, `finalize` and `status`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from typing import Any

from polybackfill import clocks, errors, formats, settings
from polybackfill.engine import market_id_lookup
from polybackfill.filesystem import files
from polybackfill.inputs import lookup_results
from polybackfill.polymarket import gamma_queries, market_matching
from polybackfill.reports import id_coverage, logs
from polybackfill.run import api_client, bootstrap, market_id_results
from polybackfill.store import market_ids

WORKERS = 5
_LINE_S = 5.0
_LOCAL = "api_markets_staging"
_CARRIED = "store"
_WRITTEN_AT_ONCE = 10_000


def lookup(arguments: argparse.Namespace) -> int:
    """Find the markets of conditions whose trades lack a market id; the database is only read."""
    chosen = bootstrap.settings_of(arguments)
    if not 1 <= arguments.batch <= gamma_queries.MAX_CONDITIONS:
        raise errors.Stop(
            f"--batch {arguments.batch}: Gamma is asked for 1 to {gamma_queries.MAX_CONDITIONS} "
            "conditions at a time; more in one request are refused by its edge"
        )
    bootstrap.require_store(chosen)
    with market_id_results.hold_lock(chosen.backfill.data_dir):
        counts = bootstrap.run(_lookup(chosen, arguments.batch), uvloop=chosen.backfill.uvloop)
    if arguments.json:
        bootstrap.print_json(counts)
    else:
        _print_lookup(counts)
    return errors.EXIT_UNITS_IN_ERROR if counts["foreign_answers"] else errors.EXIT_OK


async def _lookup(chosen: settings.Settings, batch: int) -> dict[str, Any]:
    began_at = time.monotonic()
    clock = clocks.SystemClock()
    data_dir = chosen.backfill.data_dir
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(market_id_results.open_store(chosen))
        stack.enter_context(logs.configured(level=chosen.backfill.log_level, file=None))
        ids = market_ids.MarketIds(store)
        book = lookup_results.ResultsFile(data_dir)
        waiting = await _waiting(ids, book, chosen.backfill.limit)
        locally = await _resolve_locally(ids, book, waiting, clock)
        known_before = await _write_known(ids, book, clock)
        backfill = chosen.backfill
        search = market_id_lookup.MarketIdLookup(
            waiting,
            client=await stack.enter_async_context(
                api_client.open_client(chosen, clock, what="market-ids lookup", brief=False)
            ),
            book=book,
            workers=backfill.workers if isinstance(backfill.workers, int) else WORKERS,
            batch=batch,
            spacing_s=backfill.sleep_ms / 1000,
            retries=api_client.page_retries(chosen, clock),
            clock=clock,
        )
        shown = asyncio.create_task(_show(search.counts, clock), name="progress")
        try:
            counts = await search.run()
        finally:
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)
        coverage = await id_coverage.read(ids, book.results)
    with files.stopping("write", data_dir / lookup_results.RESULTS):
        (
            data_dir / lookup_results.RESULTS
        ).touch()  # `finalize` reads it, also where nothing waited
    return {
        "asked": counts.requested,
        "found": counts.matched,
        "found_without_asking": locally,
        "known_before": known_before,
        "mappings": len(book.results.hits),
        "missed": counts.missed,
        "reasons": dict(counts.reasons),
        "lookup_failed": counts.failed_for_good,
        "foreign_answers": counts.foreign,
        "requests": counts.requests,
        "took_s": round(time.monotonic() - began_at, 1),
        "file": str((data_dir / lookup_results.RESULTS).absolute()),
        "coverage": coverage,
    }


async def _waiting(
    ids: market_ids.MarketIds, book: lookup_results.ResultsFile, limit: int | None
) -> dict[str, tuple[str, ...]]:
    """Condition → token ids of its trades, the busiest first, of all that is to be found."""
    waiting: dict[str, tuple[str, ...]] = {}
    async for one in ids.missing():
        if limit is not None and len(waiting) == limit:
            break
        if book.due(one.condition_id):
            waiting[one.condition_id] = one.tokens
    return waiting


async def _resolve_locally(
    ids: market_ids.MarketIds,
    book: lookup_results.ResultsFile,
    waiting: dict[str, tuple[str, ...]],
    clock: clocks.Clock,
) -> int:
    """Take out of `waiting` what the stored lists know; how many that were."""
    hits: list[lookup_results.Hit] = []
    async for one in ids.listed_for_missing():
        if one.condition_id not in waiting:
            continue
        traded = waiting[one.condition_id]
        match = market_matching.match_market(one.condition_id, one.market_id, one.token_ids, traded)
        if isinstance(match, market_matching.MatchedMarket):
            del waiting[one.condition_id]
            # Their tokens stay in the list, where `apply` finds them.
            hits.append(
                lookup_results.Hit(one.condition_id, match.market_id, _LOCAL, (), match.tokens)
            )
    await _write(book, hits, clock)
    return len(hits)


async def _write_known(
    ids: market_ids.MarketIds, book: lookup_results.ResultsFile, clock: clocks.Clock
) -> int:
    """Add what nobody has to look up, because the store knows it, so that the file holds the whole
    map; how many conditions that were.
    """
    results = book.results
    hits = [
        lookup_results.Hit(one.condition_id, one.market_id, _CARRIED)
        async for one in ids.known_of_traded()
        if one.condition_id not in results.hits and one.condition_id not in results.conflicts
    ]
    await _write(book, hits, clock)
    return len(hits)


async def _write(
    book: lookup_results.ResultsFile, hits: list[lookup_results.Hit], clock: clocks.Clock
) -> None:
    for first in range(0, len(hits), _WRITTEN_AT_ONCE):
        chunk = hits[first : first + _WRITTEN_AT_ONCE]
        await asyncio.to_thread(book.append, chunk, (), clock.now())


async def _show(counts: market_id_lookup.LookupCounts, clock: clocks.Clock) -> None:
    """A line every few seconds, with the time left at the rate just observed."""
    rate = market_id_lookup.Rate(clock)
    while True:
        await asyncio.sleep(_LINE_S)
        print(progress_line(counts, rate.per_s(counts.matched + counts.missed)), file=sys.stderr)


def progress_line(counts: market_id_lookup.LookupCounts, per_s: float) -> str:
    """How the lookup stands, in one line. `per_s`: conditions settled a second."""
    left_s = counts.left / per_s if per_s > 0 else None
    eta = "time left unknown" if left_s is None else f"{formats.duration(left_s)} left"
    return (
        f"  {counts.requested - counts.left:,} of "
        f"{formats.counted(counts.requested, 'condition')}, {counts.matched:,} found, "
        f"{counts.missed:,} missed, {formats.counted(counts.requests, 'request')}, "
        f"{per_s:,.0f} a second, {eta}"
    )


def _print_lookup(counts: dict[str, Any]) -> None:
    print(
        f"{formats.counted(counts['found'] + counts['found_without_asking'], 'market id')} found "
        f"({counts['found_without_asking']:,} in the stored lists, {counts['found']:,} at Gamma "
        f"with {formats.counted(counts['requests'], 'request')}), {counts['missed']:,} missed"
    )
    for reason, count in sorted(counts["reasons"].items(), key=lambda one: -one[1]):
        print(f"  {reason}: {count:,}")
    if counts["lookup_failed"]:
        given_up = f"given up among them: {counts['lookup_failed']:,}"
        print(f"  {given_up} after tries on {lookup_results.MAX_TRIES} days")
    if counts["foreign_answers"]:
        print(
            "WARNING: Gamma returned markets that were not requested: it ignores the filter "
            f"{gamma_queries.CONDITION_FILTER}. They were discarded; see the API's changelog"
        )
    if counts["known_before"]:
        print(f"  known before, from a run or an apply: {counts['known_before']:,}")
    if not counts["asked"]:
        print("  no request was needed")
    print(
        f"  in {counts['took_s']} s; "
        f"{formats.counted(counts['mappings'], 'condition')} with a market "
        f"{'is' if counts['mappings'] == 1 else 'are'} now in"
    )
    print(f"  {counts['file']}")
    for line in id_coverage.lines(counts["coverage"]):
        print(line)
    print("  next: polybackfill market-ids finalize, then polybackfill market-ids apply")


def finalize(arguments: argparse.Namespace) -> int:
    """Put the looked-up lines together into one checked document."""
    chosen = bootstrap.settings_of(arguments)
    source = chosen.backfill.data_dir / lookup_results.RESULTS
    if not source.is_file():
        raise errors.Stop(f"{source} does not exist: polybackfill market-ids lookup writes it")
    document = market_id_results.write_result(chosen.backfill.data_dir)
    results = document["metadata"]
    if arguments.json:
        bootstrap.print_json(
            {**results, "file": str(chosen.backfill.data_dir / market_id_results.RESULT)}
        )
    else:
        rate = "n/a" if results["success_rate"] is None else f"{results['success_rate']:.2f} %"
        print(
            f"a market for {results['valid_mappings']:,} of "
            f"{formats.counted(results['total_lookups'], 'condition')} "
            f"({rate}); {formats.counted(results['parse_errors'], 'line')} unreadable, "
            f"{results['repeated_lines']:,} repeated, "
            f"{formats.counted(results['conflicts'], 'condition')} with several "
            f"markets; {chosen.backfill.data_dir / market_id_results.RESULT}"
        )
        for conflict in document["conflicts"][:5]:
            print(f"  {conflict['condition_id']}: markets {', '.join(conflict['market_ids'])}")
        if results["conflicts"]:
            print(f"  left out; remove their lines from {lookup_results.RESULTS} and look them up")
    return errors.EXIT_UNITS_IN_ERROR if results["conflicts"] else errors.EXIT_OK


def status(arguments: argparse.Namespace) -> int:
    """How many trades have a market id, now and after what is found is applied."""
    chosen = bootstrap.settings_of(arguments)
    bootstrap.require_store(chosen)
    counts = bootstrap.run(_status(chosen))
    if arguments.json:
        bootstrap.print_json(counts)
    else:
        for line in id_coverage.lines(counts):
            print(line)
    return errors.EXIT_UNITS_IN_ERROR if counts["alerts"] else errors.EXIT_OK


async def _status(chosen: settings.Settings) -> dict[str, Any]:
    async with market_id_results.open_store(chosen) as store:
        results = lookup_results.read(chosen.backfill.data_dir / lookup_results.RESULTS)
        return await id_coverage.read(market_ids.MarketIds(store), results)
