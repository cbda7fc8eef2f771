"""What the exit code and the last words say is what is true."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests import harness
from tests.integration.run import conftest

from polybackfill import errors
from polybackfill.checkpoint import run_checkpoint
from polybackfill.reports import snapshot
from polybackfill.run import backfill, run_request, run_summary

Said = pytest.CaptureFixture[str]


def bare(wallet: str) -> str:
    """As it is stored."""
    return wallet.removeprefix("0x")


async def test_a_wallet_that_failed_before_is_not_reported_as_done(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox, capsys: Said
) -> None:
    good, bad = (bare(wallet) for wallet in sandbox.wallets[-2:])
    sandbox.faults({"kind": "400", "match": bad})
    chosen = new_settings()
    asked = run_request.RunRequest(parts=("wallets",), wallets=(good, bad))
    assert await conftest.run(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    first = capsys.readouterr().out
    sandbox.reset()
    assert await conftest.run(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    second = capsys.readouterr().out
    for said in (first, second):
        assert "1 of 2 proven complete, 1 in error" in said
        assert f"wallets:{bad}: GET " in said
        assert "answered 400" in said
        assert "plan reset --errors" in said
    assert sandbox.requests() == 0


async def test_the_end_is_the_same_where_nobody_reads_it(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox
) -> None:
    def hang_up(_summary: run_summary.RunSummary) -> None:
        raise BrokenPipeError

    bad = bare(sandbox.wallets[-1])
    sandbox.faults({"kind": "400", "match": bad})
    asked = run_request.RunRequest(parts=("wallets",), wallets=(bad,))
    summary = await backfill.Backfill(new_settings(), asked, show=hang_up).run()
    assert summary.exit_code == errors.EXIT_UNITS_IN_ERROR


async def test_the_same_for_a_window(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox, capsys: Said
) -> None:
    bad = bare(sandbox.wallets[-1])
    sandbox.faults({"kind": "400", "match": bad})
    asked = run_request.RunRequest(parts=("wallets",), wallets=(bad,), window=(1_700_000_000, None))
    chosen = new_settings()
    for _ in range(2):
        assert await conftest.run(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    assert "0 of 1 proven complete, 1 in error" in capsys.readouterr().out


async def test_what_was_done_before_counts_as_done(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox, capsys: Said
) -> None:
    keys = tuple(bare(wallet) for wallet in sandbox.wallets[-3:])
    chosen = new_settings()
    assert (
        await conftest.run(chosen, run_request.RunRequest(parts=("wallets",), wallets=keys[:2]))
        == 0
    )
    capsys.readouterr()
    asked = run_request.RunRequest(parts=("wallets",), wallets=keys)
    assert await conftest.run(chosen, asked, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    part = told["parts"]["wallets"]
    assert (part["units"], part["done"], part["error"], part["share"]) == (3, 3, 0, 1.0)
    assert told["exit_code"] == 0
    assert told["failed"] == []


async def test_why_a_run_ended_is_in_its_log(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox
) -> None:
    sandbox.faults({"kind": "502", "route": "activity"})
    chosen = new_settings(no_progress_s=1.0, max_attempts=50)
    keys = tuple(bare(wallet) for wallet in sandbox.wallets[-2:])
    with pytest.raises(errors.Stop, match="no progress for") as caught:
        await conftest.run(chosen, run_request.RunRequest(parts=("wallets",), wallets=keys))
    assert chosen.backfill.log_file is not None
    told = [json.loads(line) for line in chosen.backfill.log_file.read_text().splitlines()]
    (failed,) = [event for event in told if event["event"] == "run.failed"]
    assert failed["error"] == str(caught.value)
    assert "exception" not in failed
    picture = json.loads(
        snapshot.snapshot_path(chosen.backfill.data_dir, chosen.backfill.run_name).read_bytes()
    )
    assert picture["state"] == "failed"


async def test_with_nothing_to_do_the_service_manager_hears_that_it_has_started(
    new_settings: conftest.NewSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert await conftest.run(new_settings(), run_request.RunRequest(parts=("wallets",))) == 0
        assert manager.recv(100).startswith(b"EXTEND_TIMEOUT_USEC=")
        assert manager.recv(100) == b"READY=1"


async def test_a_dry_run_remembers_no_ends(
    new_settings: conftest.NewSettings,
    sandbox: harness.Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    close = run_checkpoint.Checkpoint.close

    def looked_at(book: run_checkpoint.Checkpoint) -> None:
        held.append(len(book.transitions_since(book.synced_seq)))
        close(book)

    monkeypatch.setattr(run_checkpoint.Checkpoint, "close", looked_at)
    keys = tuple(bare(wallet) for wallet in sandbox.wallets[-6:])
    asked = run_request.RunRequest(parts=("wallets",), wallets=keys, dry_run=True)
    assert await conftest.run(new_settings(), asked) == 0
    assert held == [0]
