"""`polybackfill demo`: the main job end to end, on a universe whose truth is known."""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any

import rich.console
import rich.table

from polybackfill import errors, settings
from polybackfill.commands import context, plan, run, words
from polybackfill.store import plan_table
from polybackfill.views import digest, live

_START_S = 60.0


@dataclass(frozen=True)
class Line:
    """One line of the receipt: what was claimed, what is true, and whether they agree."""

    claim: str
    found: str
    truth: str
    holds: bool


def demo(arguments: argparse.Namespace) -> int:
    """Sandbox, store, plan, run, proof. Exit 0 only when every line of the proof holds."""
    for name in ("trades", "markets", "wallets"):
        if getattr(arguments, name) < 50:
            raise errors.Stop(f"--{name} {getattr(arguments, name)}: the demo needs at least 50")
    folder = Path(tempfile.mkdtemp(prefix="polybackfill-demo-"))
    say = rich.console.Console(stderr=True, highlight=False).print
    try:
        with _sandbox(arguments, say) as url:
            chosen = _settings(arguments, folder, url)
            began_at = time.monotonic()
            # With --json standard output is for the one document.
            with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
                code = _job(chosen, folder, url, say)
            took_s = time.monotonic() - began_at
            lines = context.run(_proof(chosen, folder, url))
    finally:
        if arguments.keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _print(lines, took_s, as_json=arguments.json)
    return code if all(line.holds for line in lines) else errors.EXIT_UNITS_IN_ERROR


@contextlib.contextmanager
def _sandbox(arguments: argparse.Namespace, say: Any) -> Iterator[str]:
    command = [sys.executable, "-m", "polybackfill", "sandbox", "--port", "0"]
    for name in ("trades", "markets", "wallets", "seed"):
        command += [f"--{name}", str(getattr(arguments, name))]
    say(f"1  a local Polymarket: {arguments.trades:,} trade rows, published limits, 0.6 s a page")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            yield _url(process)
        finally:
            process.terminate()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101  (asked for above)
    line = process.stdout.readline()
    found = [word for word in line.split() if word.startswith("http://")]
    if not found:
        raise errors.Stop(
            f"the sandbox did not start: {line.strip() or 'it ended'}",
            exit_code=errors.EXIT_UNAVAILABLE,
        )
    return found[0].rstrip("/")


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
        "limits": {},
    }
    chosen = settings.load(flags, arguments.config)
    embedded = chosen.clickhouse.model_copy(update={"host": None, "database": "default"})
    return chosen.model_copy(update={"clickhouse": embedded})


def _job(chosen: settings.Settings, folder: Path, url: str, say: Any) -> int:
    _write_plan(folder / "plan.txt", url)
    built = context.run(plan.build_from(chosen, str(folder / "plan.txt"), top=None))
    wallets, conditions = (built[kind]["found"] for kind in ("wallets", "conditions"))
    say(f"2  a plan: {wallets:,} wallets and {conditions:,} conditions, in an embedded ClickHouse")
    say("3  the run, as `polybackfill run` does it")
    return context.run(
        run.run_parts(chosen, words.Asked(parts=("conditions", "wallets")), every_s=5.0)
    )


def _write_plan(file: Path, url: str) -> None:
    """Everybody there is, largest first, the contracts among them too: the plan leaves them out."""
    with file.open("w", encoding="utf-8") as plan_file:
        for kind, key in (("wallets", "wallet"), ("conditions", "condition_id")):
            ranking = _ask(f"{url}/_sandbox/{kind}?top=1000000")
            for row in ranking:
                plan_file.write(f"{row[key]},{row['rows']},{row['notional']}\n")


async def _proof(chosen: settings.Settings, folder: Path, url: str) -> list[Line]:
    keys = [line.split(",")[0] for line in (folder / "plan.txt").read_text().splitlines()]
    asked = {
        "wallets": [key for key in keys if len(key) == 42],
        "conditions": [key for key in keys if len(key) != 42],
    }
    truth = _ask(f"{url}/_sandbox/truth", asked)
    budgets = _ask(f"{url}/_sandbox/stats")["budgets"]
    async with context.open_store(chosen) as store:
        plans = {
            kind: (
                await store.rows(
                    f"SELECT count() AS n, countIf(status = 'done') AS done FROM {table}"
                )
            )[0]
            for kind, (table, _) in plan_table.TABLES.items()
        }
        trades = (await store.rows(digest.TRADES))[0]
        activity = (await store.rows(digest.ACTIVITY))[0]
        duplicates = await store.rows(digest.DUPLICATES)
        quarantined = (await store.rows("SELECT count() AS n FROM quarantine"))[0]["n"]
    return [
        *(
            _line(f"{kind} proven complete", counts["done"], counts["n"])
            for kind, counts in plans.items()
        ),
        _line("trades stored", trades["rows"], truth["trades"]["rows"]),
        _line("digest of the trades", trades["digest"], truth["trades"]["digest"]),
        _line("other activity stored", activity["rows"], truth["activity"]["rows"]),
        _line("digest of the activity", activity["digest"], truth["activity"]["digest"]),
        _line("duplicates", len(duplicates), 0),
        _line("rows in quarantine", quarantined, 0),
        _line("requests over a limit", sum(b["violations"] for b in budgets.values()), 0),
        _line("refused with 429", sum(b["refused"] for b in budgets.values()), 0),
    ]


def _line(claim: str, found: Any, truth: Any) -> Line:
    texts = [f"{value:,}" if isinstance(value, int) else str(value) for value in (found, truth)]
    return Line(claim, texts[0], texts[1], texts[0] == texts[1])


def _print(lines: list[Line], took_s: float, *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"claim": x.claim, "found": x.found, "truth": x.truth, "holds": x.holds} for x in lines
        ]
        context.print_json({"seconds": round(took_s, 1), "proof": rows})
        return
    table = rich.table.Table(title=f"\nproof, after {live.duration(took_s)}", title_justify="left")
    table.add_column("")
    table.add_column("found", justify="right")
    table.add_column("truth", justify="right")
    table.add_column("")
    for line in lines:
        table.add_row(
            line.claim, line.found, line.truth, "ok" if line.holds else "[red]WRONG[/red]"
        )
    rich.console.Console(highlight=False).print(table)


def _ask(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data)  # noqa: S310  (our own sandbox)
    with urllib.request.urlopen(request, timeout=_START_S) as answer:  # noqa: S310
        return json.load(answer)
