"""The report of one wallet or market, for the commands and for the page of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
from polybackfill.store import client, stored_receipts

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
    if len(key) == _WALLET_DIGITS:
        wallet, receipts = await read_wallet(chosen, key, offline=offline, migrated=False)
        is_known = bool(wallet.fills or wallet.totals or receipts)
        return wallet_report.make_report(wallet, receipts) if is_known else None
    market, receipts = await read_market(chosen, key, offline=offline, migrated=False)
    is_known = bool(market.fills["fills"] or market.market or receipts)
    return market_report.make_report(market, receipts) if is_known else None


async def read_wallet(
    chosen: settings.Settings, wallet: str, *, offline: str, migrated: bool
) -> tuple[wallet_figures.Figures, list[dict[str, Any]]]:
    """What is stored of a wallet, and Polymarket's curve; the records of its units. `offline`: why
    the API is not asked, empty where it may be.
    """
    curve, reason = await _ask(
        chosen,
        "report wallet",
        lambda get: official_figures.fetch_profit_curve(get, wallet),
        route="/v2/user-pnl",
        offline=offline,
    )
    async with bootstrap.open_store(chosen, migrated=migrated) as store:
        figures = await wallet_figures.read(store, wallet, curve or [], reason)
        return figures, await _read_receipts(chosen, store, wallet)


async def read_market(
    chosen: settings.Settings, condition: str, *, offline: str, migrated: bool
) -> tuple[market_figures.Figures, list[dict[str, Any]]]:
    """What is stored of a market, and what `/v2/live-volume` counts; the records of its units.
    `offline` as for a wallet.
    """
    async with bootstrap.open_store(chosen, migrated=migrated) as store:
        live = await _read_live_volume(
            chosen, await market_figures.read_event(store, condition), condition, offline=offline
        )
        figures = await market_figures.read(store, condition, live)
        return figures, await _read_receipts(chosen, store, condition)


async def _read_receipts(
    chosen: settings.Settings, store: client.Store, key: str
) -> list[dict[str, Any]]:
    """The newest records of the units of this key, the newest last."""
    stored = await stored_receipts.read_of_key(store, key, most=_MOST_RECEIPTS)
    checkpoint = await asyncio.to_thread(run_files.open_checkpoint, chosen)
    return receipt_records.of_key(stored, checkpoint, key, limit=_MOST_RECEIPTS)


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
