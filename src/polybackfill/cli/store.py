"""The store itself, beside everything else."""

from __future__ import annotations

from polybackfill.cli import menu


def add(commands: menu.Menu) -> None:
    """`sql`, and `db` with its action."""
    sql = commands.command(
        "sql",
        "sql.sql",
        "one statement against the store, also while a run is going on",
        '"SELECT status, count() FROM wallet_backfill_plan GROUP BY status"',
    )
    sql.add_argument("statement", help="ClickHouse SQL")
    sql.add_argument("--format", default=None, metavar="F", help="TSV, JSONEachRow, CSV, Pretty, …")
    serve = commands.group("db", "the embedded store", "serve").command(
        "serve",
        "sql.serve",
        "keep the embedded store open for other tools until Ctrl-C",
        "--port 8123",
    )
    serve.add_argument("--port", type=int, default=None, metavar="PORT", help="port on loopback")
