"""The store itself, beside everything else."""

from __future__ import annotations

from polybackfill.cli import command_parser


def add(commands: command_parser.CommandGroup) -> None:
    """`sql`, and `db` with its action."""
    sql = commands.command(
        "sql",
        "sql.sql",
        "run SQL statements on the store, even during a run",
        '"SELECT status, count() FROM wallet_backfill_plan GROUP BY status"',
    )
    sql.add_argument(
        "statement",
        nargs="?",
        help="ClickHouse SQL, several statements with ; between them; - or none: standard input",
    )
    sql.add_argument(
        "--format", default=None, metavar="F", help="TSV, JSONEachRow, CSV, Parquet, …"
    )
    serve = commands.group("db", "the embedded store", "serve").command(
        "serve",
        "sql.serve",
        "keep the embedded store open for other tools until Ctrl-C",
        "--port 8123",
    )
    serve.add_argument(
        "--port",
        type=int,
        default=None,
        metavar="PORT",
        help="port on 127.0.0.1; kept for the next start",
    )


def add_recover(commands: command_parser.CommandGroup) -> None:
    """`recover`."""
    recover = commands.command(
        "recover",
        "recover.recover",
        "back up every trade row, empty the tables and fetch the trades again",
        "--make-backup --write",
    )
    recover.add_argument("--make-backup", action="store_true", help="copy the tables first")
    recover.add_argument("--backup", metavar="NAME", help="use this backup (default: the newest)")
    recover.add_argument(
        "--write", action="store_true", help="change the tables; without this flag only compare"
    )
    recover.add_argument(
        "--put-back", action="store_true", help="insert the backup's rows that the tables lack"
    )
    command_parser.add_json_flag(recover)


def add_push(commands: command_parser.CommandGroup) -> None:
    """`push`."""
    push = commands.command(
        "push",
        "push.push",
        "copy the embedded store and the checkpoint to a ClickHouse server or cluster",
        "--to https://polybackfill@clickhouse.example:8443/polymarket",
    )
    push.add_argument(
        "--to",
        required=True,
        metavar="URL",
        help="the server with user and database, as below; its password in CLICKHOUSE_PASSWORD, "
        "the name of a cluster in CLICKHOUSE_CLUSTER",
    )
    command_parser.add_json_flag(push)
