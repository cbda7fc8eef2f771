"""One sandbox and one open store for all tests of the commands; a database for each desk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import harness
from tests.commands import desk as desks

NewDesk = Callable[..., desks.Desk]


@pytest.fixture(scope="session")
def open_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[desks.Store]:
    """The store all desks share."""
    made = desks.Store(tmp_path_factory.mktemp("store"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def new_desk(
    open_store: desks.Store,
    shared_sandbox: harness.Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NewDesk]:
    """Makes desks over databases without rows, given back at the end of the module."""
    made: list[desks.Desk] = []

    def make(url: str = shared_sandbox.url, **settings: object) -> desks.Desk:
        made.append(open_store.desk(tmp_path_factory.mktemp("desk"), url))
        made[-1].set(**settings)
        return made[-1]

    yield make
    for one in made:
        open_store.take_back(one)


@pytest.fixture(scope="session")
def replayed(recorded_dir: Path) -> Iterator[harness.Sandbox]:
    """A sandbox that serves the recorded rows instead of a universe of its own."""
    command = [*harness.COMMAND, "sandbox", "--port", "0", "--latency-ms", "0"]
    command += ["--limits", "off", "--replay", str(recorded_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            running = harness.Sandbox(process.stdout.readline().split()[-1].rstrip("/"))
            ranked = running.ask("wallets?top=1000000")
            running.wallets = [row["wallet"] for row in ranked if not row["contract"]]
            ranked = running.ask("conditions?top=1000000")
            running.conditions = [row["condition_id"] for row in ranked]
            yield running
        finally:
            process.kill()


@pytest.fixture
def desk(open_store: desks.Store, sandbox: harness.Sandbox, tmp_path: Path) -> Iterator[desks.Desk]:
    """A desk over a database without rows, with the sandbox at rest."""
    made = open_store.desk(tmp_path, sandbox.url)
    yield made
    open_store.take_back(made)


@pytest.fixture
def bare_desk(
    open_store: desks.Store, sandbox: harness.Sandbox, tmp_path: Path
) -> Iterator[desks.Desk]:
    """The same over a database that nobody has made yet."""
    made = open_store.desk(tmp_path, sandbox.url, bare=True)
    yield made
    open_store.take_back(made)
