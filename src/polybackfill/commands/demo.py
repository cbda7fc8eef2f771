"""`polybackfill demo`: the main job end to end, on a universe whose truth is known."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polymarket_sandbox
from chdb_http import child_process
from polybackfill import errors, formats, settings
from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import completeness, table_digest
from polybackfill.polymarket import endpoints
from polybackfill.reports import console_table
from polybackfill.run import backfill, bootstrap, run_request, run_summary

_START_S = 60.0
_FASTER = 8  # at the published limits this universe takes four minutes
_LATENCY_MS = 300
_HALF_A_CENT = 0.005
_PROFITS = """
SELECT concat('0x', wallet_address) AS wallet, economic_pnl_usd, all_fees_usd AS fees_usd
FROM wallet_pnl
"""


@dataclass(frozen=True)
class Line:
    """One line of the receipt: what was claimed, what is true, and whether they agree."""

    claim: str
    actual: str
    truth: str
    holds: bool


def demo(arguments: argparse.Namespace) -> int:
    """Sandbox, store, plan, run, proof. Exit 0 only when every line of the proof holds."""
    for name in ("trades", "markets", "wallets"):
        if getattr(arguments, name) < 50:
            raise errors.Stop(f"--{name} {getattr(arguments, name)}: the demo needs at least 50")
    try:
        polymarket_sandbox.require_packages()
    except polymarket_sandbox.MissingPackageError as error:
        raise errors.Stop(str(error)) from error
    folder = Path(tempfile.mkdtemp(prefix="polybackfill-demo-"))
    say = partial(print, file=sys.stderr)
    try:
        with _sandbox(arguments, say) as url:
            chosen = _settings(arguments, folder, url)
            began_at = time.monotonic()
            # With --json standard output is for the one document.
            with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
                code = _job(chosen, say)
            took_s = time.monotonic() - began_at
            lines = bootstrap.run(_proof(chosen, url))
    finally:
        if arguments.keep:
            say(f"kept: {folder}")
        else:
            asyncio.run(child_process.wait_until_ended(bootstrap.store_folder(folder / "data")))
            shutil.rmtree(folder, ignore_errors=True)
            say(f"removed: {folder}; --keep keeps it, with the reports in it")
    _print(lines, took_s, as_json=arguments.json)
    return code if all(line.holds for line in lines) else errors.EXIT_UNITS_IN_ERROR


@contextlib.contextmanager
def _sandbox(arguments: argparse.Namespace, say: Any) -> Iterator[str]:
    command = [sys.executable, "-m", "polybackfill", "sandbox", "--port", "0"]
    command += ["--limits", str(_FASTER), "--latency-ms", str(_LATENCY_MS)]
    for name in ("trades", "markets", "wallets", "seed"):
        command += [f"--{name}", str(getattr(arguments, name))]
    say(
        f"1  a local Polymarket: {arguments.markets:,} markets, {arguments.wallets:,} wallets, "
        f"{arguments.trades:,} trade rows,\n   {_FASTER} times the published limits, "
        f"{_LATENCY_MS / 1000} s a page"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield _url(process)
        finally:
            process.terminate()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101  (asked for above)
    line = process.stdout.readline()
    urls = [word for word in line.split() if word.startswith("http://")]
    if not urls:
        raise errors.Stop(
            f"the sandbox did not start: {line.strip() or 'it ended'}",
            exit_code=errors.EXIT_UNAVAILABLE,
        )
    return urls[0].rstrip("/")


def _settings(arguments: argparse.Namespace, folder: Path, url: str) -> settings.Settings:
    flags: dict[str, Any] = {
        "data_url": f"{url}/data",
        "gamma_url": f"{url}/gamma",
        "clob_url": f"{url}/clob",
        "data_dir": folder / "data",
        "checkpoint_dir": folder / "checkpoints",
        # What bounds a real run would show an incomplete demo.
        "limit": None,
        "skip": 0,
        "sleep_ms": 0,
        "reports": True,
        "limits": {name: budget.requests * _FASTER for name, budget in endpoints.PUBLISHED.items()},
    }
    chosen = settings.load(flags, arguments.config)
    embedded = chosen.clickhouse.model_copy(update={"host": None, "database": "default"})
    return chosen.model_copy(update={"clickhouse": embedded})


def _job(chosen: settings.Settings, say: Any) -> int:
    say("2  an empty embedded ClickHouse")
    say("3  the run, as `polybackfill run` does it: lists, trades, the wallets found, and the rest")
    show = partial(run_summary.RunSummary.show, as_json=False)
    request = run_request.RunRequest()
    run = backfill.Backfill(chosen, request, show=show, every_s=5.0, estimated=False).run()
    return bootstrap.run(run).exit_code


async def _proof(chosen: settings.Settings, url: str) -> list[Line]:
    budgets = _ask(f"{url}/_sandbox/stats")["budgets"]
    everything = _ask(f"{url}/_sandbox/truth")
    async with bootstrap.open_store(chosen) as store:
        parts = await completeness.measure_parts(
            store, run_checkpoint.Checkpoint.view(chosen.checkpoint_path)
        )
        stored = {name: (await store.rows(sql))[0] for name, sql in table_digest.TABLES.items()}
        duplicates = await store.rows(table_digest.DUPLICATES)
        quarantined = (await store.rows("SELECT count() AS n FROM quarantine"))[0]["n"]
        wallets = await store.rows(
            "SELECT concat('0x', wallet_address) AS wallet FROM wallet_backfill_plan"
        )
        profits = await store.rows(_PROFITS)
    # A wallet that never traded is in no feed of trades: nobody can find it.
    conditions = [row["condition_id"] for row in _ask(f"{url}/_sandbox/conditions?top=10000000")]
    keys = {"wallets": [row["wallet"] for row in wallets], "conditions": conditions}
    truth = {**_ask(f"{url}/_sandbox/truth", keys), "trades": everything["trades"]}
    lines = [
        _line(f"{part['name']} proven complete", part["proven"], part["keys"]) for part in parts
    ]
    for name, stored_rows in stored.items():
        true = truth[name]
        lines += [
            _line(f"{name} stored", stored_rows["rows"], true.get("rows", true.get("count"))),
            _line(f"digest of the {name}", stored_rows["digest"], true["digest"]),
        ]
    return [
        *lines,
        *_profit_lines(profits, _ask_lines(f"{url}/_sandbox/profit")),
        _line("duplicates", len(duplicates), 0),
        _line("rows in quarantine", quarantined, 0),
        _line("requests over a limit", sum(b["violations"] for b in budgets.values()), 0),
        _line("refused with 429", sum(b["refused"] for b in budgets.values()), 0),
    ]


def _line(claim: str, actual: Any, truth: Any) -> Line:
    texts = [f"{value:,}" if isinstance(value, int) else str(value) for value in (actual, truth)]
    return Line(claim, texts[0], texts[1], texts[0] == texts[1])


def _profit_lines(rows: list[dict[str, Any]], truth: list[dict[str, Any]]) -> Iterator[Line]:
    """Of all wallets that were found: each must agree to the cent, and so must the unknown ones."""
    true = {row["wallet"]: row for row in truth}
    pairs = [(row, true.get(row["wallet"], {})) for row in rows]
    yield _line(
        "wallets whose history is closed",
        sum(mine["economic_pnl_usd"] is not None for mine, _ in pairs),
        sum(known.get("exact", False) for _, known in pairs),
    )
    for claim, name in (("economic profit", "economic_pnl_usd"), ("fees", "fees_usd")):
        figures = [(mine[name], known.get(name)) for mine, known in pairs]
        sums = [
            f"{sum(figure or 0 for figure in side):,.2f}" for side in zip(*figures, strict=True)
        ]
        holds = all(_is_same(mine, known) for mine, known in figures)
        yield Line(f"{claim} of all wallets, USD", sums[0], sums[1], holds)


def _is_same(mine: float | None, known: float | None) -> bool:
    if mine is None or known is None:
        return mine is known
    return abs(mine - known) < _HALF_A_CENT


def _print(lines: list[Line], took_s: float, *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"claim": x.claim, "found": x.actual, "truth": x.truth, "holds": x.holds} for x in lines
        ]
        bootstrap.print_json({"seconds": round(took_s, 1), "proof": rows})
        return
    print()
    rows = [
        {
            "claim": line.claim,
            "found": line.actual,
            "truth": line.truth,
            "": "ok" if line.holds else "WRONG",
        }
        for line in lines
    ]
    console_table.show(f"proof, after {formats.duration(took_s)}", rows)


def _ask(url: str, body: object = None) -> Any:
    return json.loads(_fetch(url, body))


def _ask_lines(url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _fetch(url).splitlines()]


def _fetch(url: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data)  # noqa: S310  (our own sandbox)
    with urllib.request.urlopen(request, timeout=_START_S) as answer:  # noqa: S310
        return bytes(answer.read())
