"""Whatever the order, the overlap, the owner and the pieces: the same ids, each of them once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests import harness
from tests.commands import desk as desks

from .conftest import NewDesk

Way = Callable[[desks.Desk, list[str], list[str]], None]


def _run(desk: desks.Desk, *words: object, wallets: list[str], conditions: list[str]) -> None:
    keys: list[object] = []
    for flag, given in (("--wallet", wallets), ("--condition-id", conditions)):
        keys += [flag, desk.file(f"{flag[2:]}.txt", given)] if given else []
    desk.call("run", *keys, *words)


def _wallets_first(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    _run(desk, wallets=wallets, conditions=[])
    _run(desk, wallets=[], conditions=conditions)


def _conditions_first(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    _run(desk, wallets=[], conditions=conditions)
    _run(desk, wallets=wallets, conditions=[])


def _overlapping_lists(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    third, fourth = len(wallets) // 3, len(conditions) // 4
    _run(desk, wallets=wallets[: 2 * third], conditions=conditions[: 3 * fourth])
    _run(desk, wallets=wallets[third:][::-1], conditions=conditions[fourth:][::-1])


def _two_checkpoint_folders(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    other = desk.folder / "other-checkpoints"
    _run(desk, wallets=wallets, conditions=conditions[:9])
    _run(desk, "--checkpoint-dir", other, wallets=wallets[5:], conditions=conditions)
    assert (other / desk.run_name / "ledger.jsonl").exists()


def _two_owners(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    # One after the other: of two at once the second is refused, see test_owner.py.
    for owner in (f"{desk.run_name}-1", f"{desk.run_name}-2"):
        _run(desk, "--run-name", owner, wallets=wallets, conditions=conditions)
        assert (desk.checkpoints / owner / "ledger.jsonl").exists()


def _everything_again(desk: desks.Desk, wallets: list[str], conditions: list[str]) -> None:
    desk.plan_keys(*wallets, *conditions)
    desk.call("run", "conditions", "wallets")
    desk.call("plan", "reset", "--all")
    desk.call("run", "--workers", 1)


def _small_inserts_by_one_worker(
    desk: desks.Desk, wallets: list[str], conditions: list[str]
) -> None:
    desk.set(batch_rows=700, workers=1)
    _run(desk, wallets=wallets, conditions=conditions)


WAYS: list[Way] = [
    _wallets_first,
    _conditions_first,
    _overlapping_lists,
    _two_checkpoint_folders,
    _two_owners,
    _everything_again,
    _small_inserts_by_one_worker,
]


@pytest.fixture(scope="module")
def whole(new_desk: NewDesk, shared_sandbox: harness.Sandbox) -> tuple[list[str], list[str]]:
    """Ids of trades and of other activity, as one run of everything stores them."""
    shared_sandbox.reset()
    desk = new_desk()
    _run(desk, wallets=shared_sandbox.wallets, conditions=shared_sandbox.conditions)
    desk.prove(shared_sandbox)
    return desk.ids(), desk.ids("wallet_activity_raw")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_every_way_gives_the_same_ids(
    way: Way, whole: tuple[list[str], list[str]], desk: desks.Desk, sandbox: harness.Sandbox
) -> None:
    """Seed 001, trade id: independent of page, run and worker count."""
    way(desk, sandbox.wallets, sandbox.conditions)
    assert (desk.ids(), desk.ids("wallet_activity_raw")) == whole
    assert len(set(whole[0])) == len(whole[0])
    desk.prove(sandbox)
