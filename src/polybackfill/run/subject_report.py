"""The report of one wallet or market, for the commands and for the page of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from polybackfill import errors, records, settings
from polybackfill.inputs import key_input
from polybackfill.polymarket import http, official_figures
from polybackfill.reports import (
    market_figures,
    market_report,
    receipt_records,
    report_content,
    run_files,
    wallet_figures,
    wallet_report,
)
from polybackfill.run import api_client, bootstrap, name_resolution

_TRIES, _TRY_S = 3, 20.0  # somebody is waiting
_MOST_RECEIPTS = 50
_MOST_CHOICES = 100
_WALLET_DIGITS = 40
NOT_ASKED = "the API was not asked"
T = TypeVar("T")


@dataclass(frozen=True)
class NamedSubject:
    """What a name that somebody searches for means. `key`: of a wallet or a condition, empty where
    there is none or more than one; `choices`: those; `said`: why there is no report.
    """

    key: str = ""
    report: report_content.Report | None = None
    choices: tuple[str, ...] = ()
    said: str = ""


def look_up(chosen: settings.Settings, text: str, *, may_ask: bool) -> NamedSubject:
    """The report of what a text names; of an event with several markets their ids. `may_ask`: the
    API is asked for what is not stored. Not to be called inside an event loop.
    """
    try:
        bootstrap.require_store(chosen)
        entries = key_input.typed(text, "this name")
        keys = name_resolution.keys(chosen, entries, offline=not may_ask)
    except errors.Stop as refusal:
        return NamedSubject(said=str(refusal))
    if len(keys) != 1:
        return NamedSubject(choices=tuple(map(records.show, keys[:_MOST_CHOICES])))
    (key,), shown = keys, records.show(keys[0])
    offline = "" if may_ask else NOT_ASKED
    report = bootstrap.run(_read(chosen, key, offline=offline))
    if report is None:
        return NamedSubject(shown, said=f"Nothing is stored about {shown}.")
    return NamedSubject(shown, report)


async def _read(
    chosen: settings.Settings, key: str, *, offline: str
) -> report_content.Report | None:
    """None where nothing is stored, and nothing of it was begun."""
    receipts = await asyncio.to_thread(read_receipts, chosen, key)
    if len(key) == _WALLET_DIGITS:
        wallet = await read_wallet(chosen, key, offline=offline, migrated=False)
        is_known = bool(wallet.fills or wallet.totals or receipts)
        return wallet_report.make_report(wallet, receipts) if is_known else None
    market = await read_market(chosen, key, offline=offline, migrated=False)
    is_known = bool(market.fills["fills"] or market.market or receipts)
    return market_report.make_report(market, receipts) if is_known else None


def read_receipts(chosen: settings.Settings, key: str) -> Sequence[dict[str, Any]]:
    """The newest records of the units of this key, the newest last; none without a checkpoint."""
    checkpoint = run_files.open_checkpoint(chosen)
    if checkpoint is None:
        return ()
    newest = receipt_records.newest(checkpoint, kind=None, keys={key}, limit=_MOST_RECEIPTS)
    return list(newest["receipts"])


async def read_wallet(
    chosen: settings.Settings, wallet: str, *, offline: str, migrated: bool
) -> wallet_figures.Figures:
    """What is stored of a wallet, and Polymarket's curve. `offline`: why the API is not asked,
    empty where it may be.
    """
    curve, reason = await _ask(
        chosen,
        "report wallet",
        lambda get: official_figures.fetch_profit_curve(get, wallet),
        route="/v2/user-pnl",
        offline=offline,
    )
    async with bootstrap.open_store(chosen, migrated=migrated) as store:
        return await wallet_figures.read(store, wallet, curve or [], reason)


async def read_market(
    chosen: settings.Settings, condition: str, *, offline: str, migrated: bool
) -> market_figures.Figures:
    """What is stored of a market, and what `/v2/live-volume` counts; `offline` as for a wallet."""
    async with bootstrap.open_store(chosen, migrated=migrated) as store:
        live = await _read_live_volume(
            chosen, await market_figures.read_event(store, condition), condition, offline=offline
        )
        return await market_figures.read(store, condition, live)


async def _read_live_volume(
    chosen: settings.Settings, event: int | None, condition: str, *, offline: str
) -> market_figures.LiveVolume:
    if event is None:
        return market_figures.LiveVolume(unknown="no list names the market's event")
    volumes, reason = await _ask(
        chosen,
        "report market",
        lambda get: official_figures.fetch_event_volumes(get, [event]),
        route="/v2/live-volume",
        offline=offline,
    )
    if volumes is None:
        return market_figures.LiveVolume(unknown=reason)
    return market_figures.LiveVolume(volumes.get(condition))


async def _ask(
    chosen: settings.Settings,
    command: str,
    fetch: Callable[[http.Get], Awaitable[T]],
    *,
    route: str,
    offline: str,
) -> tuple[T | None, str]:
    """The answer, or why it is unknown: a report is worth having without it."""
    if reason := offline or api_client.limit_holder(chosen):
        return None, reason
    try:
        async with api_client.open_get(chosen, command, attempts=_TRIES, deadline_s=_TRY_S) as get:
            return await fetch(get), ""
    except errors.GiveUp as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:
            return None, f"the API does not serve {route}"
        return None, f"the API refused: {refusal}"
    except errors.Retry as trouble:
        return None, f"the API does not answer: {trouble}"
    except errors.Stop as refusal:
        if refusal.exit_code != errors.EXIT_UNAVAILABLE:  # else a run has begun meanwhile
            raise
        return None, str(refusal)
