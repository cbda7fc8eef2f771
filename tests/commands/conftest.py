"""One sandbox and one open store for all tests of the commands; a database for each desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


@pytest.fixture(scope="session")
def commander() -> Iterator[desks.Commander]:
    """The process that forks commands."""
    with desks.commander() as running:
        yield running


@pytest.fixture(scope="session")
def new_desk(
    open_store: desks.Store,
    shared_sandbox: harness.Sandbox,
    commander: desks.Commander,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[NewDesk]:
    """Makes desks over empty databases."""
    made: list[desks.Desk] = []

    def make(url: str = shared_sandbox.url, **settings: object) -> desks.Desk:
        made.append(open_store.desk(tmp_path_factory.mktemp("desk"), url, commander))
        made[-1].set(**settings)
        return made[-1]

    yield make
    for one in made:
        one.end_commands()


@pytest.fixture
def desk(new_desk: NewDesk, sandbox: harness.Sandbox) -> desks.Desk:
    """A desk over an empty database, with the sandbox at rest."""
    return new_desk()
