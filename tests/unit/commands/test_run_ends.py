"""What the exit code and the last words say is what is true."""

from __future__ import annotations

import json

import pytest
from tests import harness
from tests.unit.commands import conftest

from polybackfill import errors
from polybackfill.commands import run, words

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
    asked = words.Asked(parts=("wallets",), wallets=(good, bad))
    assert await run.run_parts(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    first = capsys.readouterr().out
    sandbox.reset()
    assert await run.run_parts(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    second = capsys.readouterr().out
    for said in (first, second):
        assert "1 of 2 proven complete, 1 in error" in said
        assert f"wallets:{bad}: GET " in said
        assert "answered 400" in said
        assert "plan reset --errors" in said
    assert sandbox.requests() == 0


async def test_the_same_for_a_window(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox, capsys: Said
) -> None:
    bad = bare(sandbox.wallets[-1])
    sandbox.faults({"kind": "400", "match": bad})
    asked = words.Asked(parts=("wallets",), wallets=(bad,), window=(1_700_000_000, None))
    chosen = new_settings()
    for _ in range(2):
        assert await run.run_parts(chosen, asked) == errors.EXIT_UNITS_IN_ERROR
    assert "0 of 1 proven complete, 1 in error" in capsys.readouterr().out


async def test_what_was_done_before_counts_as_done(
    new_settings: conftest.NewSettings, sandbox: harness.Sandbox, capsys: Said
) -> None:
    keys = tuple(bare(wallet) for wallet in sandbox.wallets[-3:])
    chosen = new_settings()
    assert await run.run_parts(chosen, words.Asked(parts=("wallets",), wallets=keys[:2])) == 0
    capsys.readouterr()
    asked = words.Asked(parts=("wallets",), wallets=keys)
    assert await run.run_parts(chosen, asked, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    part = told["parts"]["wallets"]
    assert (part["units"], part["done"], part["error"], part["share"]) == (3, 3, 0, 1.0)
    assert told["exit_code"] == 0
    assert told["failed"] == []
