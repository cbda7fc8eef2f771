"""The report of one wallet or market, for the commands and for the page of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from polybackfill import errors, settings
from polybackfill.polymarket import http, official_figures
from polybackfill.reports import market_figures, receipt_records, run_files, wallet_figures
from polybackfill.run import api_client, bootstrap

_TRIES, _TRY_S = 3, 20.0  # somebody is waiting
_MOST_RECEIPTS = 50
NOT_ASKED = "the API was not asked"
T = TypeVar("T")


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
    if offline:
        return None, offline
    if holder := api_client.limit_holder(chosen):
        return None, holder
    async with contextlib.AsyncExitStack() as stack:
        get = await stack.enter_async_context(
            api_client.open_get(chosen, command, attempts=_TRIES, deadline_s=_TRY_S)
        )
        try:
            return await fetch(get), ""
        except errors.GiveUp as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return None, f"the API does not serve {route}"
            return None, f"the API refused: {refusal}"
        except errors.Retry as trouble:
            return None, f"the API does not answer: {trouble}"
