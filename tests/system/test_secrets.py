"""After a run with failures no file and no output holds a key of a URL or a password."""

from __future__ import annotations

import tarfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests import harness

from polybackfill import errors

SECRETS = ("S3cr3tPl4nted", "K3yPl4nted", "QueryPl4nted", "PwPl4nted77", "Pr0xyPl4nted")


def _held(folder: Path) -> Iterator[str]:
    """Every file below the folder that holds one of them."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            yield from (f"{file}: {secret}" for secret in SECRETS if secret.encode() in content)


@pytest.fixture
def secretive(ground: harness.Ground, sandbox: harness.Sandbox) -> harness.Ground:
    host = urllib.parse.urlsplit(sandbox.url).netloc
    ground.set(
        data_url=f"http://alice:S3cr3tPl4nted@{host}/data?apikey=QueryPl4nted",
        clob_url=f"http://{host}/K3yPl4nted/clob",
        no_progress_s=20,  # longer than a unit waits for its next attempt
        log_level="debug",
        page_attempts=2,
        max_attempts=2,
        backoff_cap_s=0.05,
    )
    ground.environment["CLICKHOUSE_PASSWORD"] = "PwPl4nted77"
    ground.environment["HTTPS_PROXY"] = "http://me:Pr0xyPl4nted@127.0.0.1:9"
    return ground


def test_no_secret_is_left_anywhere_by_a_run_with_failures(
    secretive: harness.Ground, sandbox: harness.Sandbox
) -> None:
    ground = secretive
    keys = ground.write_keys(sandbox)
    sandbox.faults(
        {"kind": "bad_row", "route": "data", "probability": 0.3},
        {"kind": "503", "route": "data", "probability": 0.3, "retry_after_s": 0},
        {"kind": "400", "match": sandbox.wallets[0]},
        {"kind": "403_html", "match": sandbox.wallets[1]},
        {"kind": "reset", "route": "data", "probability": 0.05},
    )
    ended = ground.run("run", *keys, within_s=120)
    ended.expect(errors.EXIT_UNITS_IN_ERROR)
    assert "***@" in ground.sql("SELECT any(request) AS r FROM quarantine")[0]["r"]
    for words in (
        ("doctor",),
        ("doctor", "--json"),
        ("status",),
        ("status", "--json"),
        ("quarantine", "list"),
        ("quarantine", "list", "--json"),
        ("check", "plan"),
        ("sql", "SELECT DISTINCT error_message FROM wallet_backfill_plan"),
        ("sql", "SELECT * FROM quarantine"),
        ("run", "markets"),
    ):
        ground.start(*words).end()
    archive = ground.folder / "bundle.tar.gz"
    ground.run("support-bundle", "--output", str(archive), "--yes").expect(0)
    with tarfile.open(archive) as packed:
        packed.extractall(ground.folder / "bundle", filter="data")
    assert list(_held(ground.folder)) == []


def test_the_child_is_told_no_secret(secretive: harness.Ground) -> None:
    running = secretive.start("sql", "SELECT sleepEachRow(1) FROM numbers(3)")

    def child() -> psutil.Process | None:
        return next(iter(psutil.Process(running.pid).children(recursive=True)), None)

    found = harness.until(child, "the child of the store")
    harness.until(lambda: "chdb_http" in " ".join(found.cmdline()), "its own command line")
    told = " ".join([*found.cmdline(), *found.environ().values()])
    assert [secret for secret in SECRETS if secret in told] == []
    running.end().expect(0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BACKFILL_DATA_URL", "ftp://alice:S3cr3tPl4nted@host.example/data"),
        ("BACKFILL_CLOB_URL", "https://host.example:K3yPl4nted/"),
        ("CLICKHOUSE_HOST", "ftp://u:PwPl4nted77@host.example"),
        ("CLICKHOUSE_HOST", "http://u:PwPl4nted77@host.example:port/"),
    ],
)
def test_a_refused_setting_is_named_without_its_secret(
    ground: harness.Ground, name: str, value: str
) -> None:
    ground.environment[name] = value
    told = ground.run("doctor")
    told.expect(errors.EXIT_CONFIG)
    assert name in told.err
    assert not any(secret in told.err + told.out for secret in SECRETS)
