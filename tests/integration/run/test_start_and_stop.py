"""A run that is stopped before it has begun ends as cleanly as any other."""

from __future__ import annotations

import asyncio
import os
import signal
import types
from collections.abc import Iterator

import pytest
from tests import harness
from tests.integration import conftest as integration_conftest
from tests.integration.run import conftest

from chdb_http import endpoint_file
from polybackfill import cli, errors
from polybackfill.filesystem import lock
from polybackfill.run import run_request
from polybackfill.store import client, migrate


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """The handlers of the test process come back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) in {before, signal.SIG_DFL}
    signal.signal(signal.SIGTERM, before)


def asked(sandbox: harness.Sandbox, count: int = 5) -> run_request.RunRequest:
    """A run of the smallest wallets."""
    keys = tuple(key.removeprefix("0x") for key in sandbox.wallets[-count:])
    return run_request.RunRequest(parts=("wallets",), wallets=keys)


async def test_a_stop_during_the_start_is_a_clean_end_and_lets_go_of_the_lock(
    new_settings: conftest.NewSettings,
    sandbox: harness.Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = new_settings()
    running = asyncio.create_task(conftest.run(chosen, asked(sandbox)))
    await integration_conftest.until((chosen.checkpoint_path / lock.OWNER_FILE).exists, "the lock")
    signal.raise_signal(signal.SIGTERM)
    assert await running == errors.EXIT_OK
    assert "stopped before it began" in capsys.readouterr().out
    assert lock.holder(chosen.checkpoint_path) is None
    assert sandbox.requests() == 0
    # and the next start goes its way
    assert await conftest.run(chosen, asked(sandbox)) == errors.EXIT_OK
    assert "5 of 5 proven complete" in capsys.readouterr().out


async def test_an_error_during_the_start_is_raised(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox
) -> None:
    chosen = new_settings()
    with lock.hold(chosen.checkpoint_path), pytest.raises(errors.Stop, match="in use by process"):
        await conftest.run(chosen, asked(sandbox))


def test_before_anything_runs_a_signal_ends_a_command_once_its_import_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of an import it would be a segmentation fault of orjson."""
    number, imported = signal.SIGTERM, []

    def interrupted(name: str) -> types.ModuleType:
        signal.raise_signal(number)
        imported.append(name)
        return types.ModuleType(name)

    monkeypatch.setattr(cli, "importlib", types.SimpleNamespace(import_module=interrupted))
    for command, code in ((["run"], 0), (["plan", "show"], 143)):
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
        assert ended.value.code == code
    number = signal.SIGINT
    assert cli.main(["run"]) == 130
    assert [name.rpartition(".")[2] for name in imported] == ["run", "plan", "run"]
    for handled in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, signal.SIG_DFL)


async def test_a_store_that_dies_during_the_start_is_started_again(
    new_settings: conftest.NewSettings,
    sandbox: harness.Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = new_settings()
    store_id, killed = migrate.store_id, []

    async def killed_once(store: client.Store) -> str:
        if not killed:
            endpoint = endpoint_file.read(chosen.backfill.data_dir / "clickhouse")
            assert endpoint is not None
            assert endpoint.pid is not None
            killed.append(endpoint.pid)
            asyncio.get_running_loop().call_later(0.3, os.kill, endpoint.pid, signal.SIGKILL)
            await store.command("SELECT sleep(3)")
        return await store_id(store)

    monkeypatch.setattr(migrate, "store_id", killed_once)
    assert await conftest.run(chosen, asked(sandbox)) == errors.EXIT_OK
    printed = capsys.readouterr()
    assert "starting again in 1 s" in printed.err
    assert "5 of 5 proven complete" in printed.out
    assert killed
