"""`polybackfill report wallet`: what one wallet did and earned, beside what Polymarket says."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from datetime import UTC, datetime
from http import HTTPStatus
from importlib import metadata

from polybackfill import errors, records, settings
from polybackfill.inputs import key_input
from polybackfill.polymarket import official_figures
from polybackfill.reports import report_files, wallet_figures, wallet_page, wallet_text
from polybackfill.run import api_client, bootstrap, name_resolution

_TRIES, _TRY_S = 3, 20.0  # somebody is waiting


def report(arguments: argparse.Namespace) -> int:
    """Write both files."""
    chosen = bootstrap.settings_of(arguments)
    typed = key_input.wallets([arguments.wallet])
    keys = name_resolution.keys(chosen, typed, offline=arguments.offline)
    if len(keys) != 1:
        raise errors.Stop(f"{arguments.wallet} names {len(keys)} wallets: give one")
    (key,) = keys
    default = chosen.backfill.data_dir / f"WALLET_{records.show(key)}.md"
    file = report_files.text_file(arguments.output, default)
    bootstrap.require_store(chosen)
    if arguments.output is None:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
    figures = bootstrap.run(
        _figures(chosen, key, offline=arguments.offline), uvloop=chosen.backfill.uvloop
    )
    if not figures.fills and figures.totals is None:
        shown = records.show(key)
        raise errors.Stop(
            f"nothing is stored of {shown}: polybackfill run wallets --wallet {shown}"
        )
    named = {
        "at": datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": metadata.version("polybackfill"),
    }
    page_file = report_files.write(
        file,
        text=wallet_text.markdown(figures, **named),
        page=wallet_page.page(figures, **named),
    )
    if arguments.json:
        document = dataclasses.asdict(figures)
        document["wallet"] = records.show(key)
        document["parts"] = [
            {**dataclasses.asdict(part), "difference": part.difference} for part in figures.parts
        ]
        bootstrap.print_json({**document, "files": [str(file), str(page_file)]})
    else:
        print(wallet_text.lead(figures))
        print(f"written: {file} and {page_file}")
    return errors.EXIT_OK


async def _figures(chosen: settings.Settings, key: str, *, offline: bool) -> wallet_figures.Figures:
    curve, reason = await _curve(chosen, key, offline=offline)
    async with bootstrap.open_store(chosen, migrated=True) as store:
        return await wallet_figures.read(store, key, curve, reason)


async def _curve(
    chosen: settings.Settings, key: str, *, offline: bool
) -> tuple[list[official_figures.ProfitPoint], str]:
    """Polymarket's curve, or why it is unknown: a report is worth having without it."""
    if offline:
        return [], "--offline: the API was not asked"
    if holder := api_client.limit_holder(chosen):
        return [], holder
    async with contextlib.AsyncExitStack() as stack:
        get = await stack.enter_async_context(
            api_client.open_get(chosen, "report wallet", attempts=_TRIES, deadline_s=_TRY_S)
        )
        try:
            return await official_figures.fetch_profit_curve(get, key), ""
        except errors.GiveUp as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return [], "the API does not serve /v2/user-pnl"
            return [], f"the API refused: {refusal}"
        except errors.Retry as trouble:
            return [], f"the API does not answer: {trouble}"
