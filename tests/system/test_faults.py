"""Whatever the API does wrong, the tables end as if it had done nothing wrong."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from tests import harness

from chdb_http import endpoint_file
from polybackfill import errors
from polymarket_sandbox import faults

# What heals by asking again; the others have tests of their own.
# Faults of one request; what concerns lists is in test_universe_faults.
_LASTING = {"400", "404", "bad_row", "unknown_field", "cursor_trips"}
_OF_LISTS = {"ignored_filter", "clamped", *faults.CHANGES}
# An answer of another API than the one described is nothing that asking again heals: what it
# leaves out no walk can see. The probe finds it, tests/integration/probe.
_CHANGED_API = {*faults.DRIFTED, "empty"}
PASSING = tuple(kind for kind in faults.KINDS if kind not in _LASTING | _OF_LISTS | _CHANGED_API)
# One of each way in which a request fails; `make crash` takes the others, and the mixed test all.
_FIRST = {"hang"}
_BY_KIND = [
    kind if kind in _FIRST else pytest.param(kind, marks=pytest.mark.long) for kind in PASSING
]
# These cost a deadline or a pause each.
_SLOW = {"hang", "drip", "429_json", "429_html", "403_html", "503"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Server]:
    """A ClickHouse server for many short runs, each with a database of its own."""
    with harness.ground(tmp_path_factory.mktemp("server"), "http://127.0.0.1:9") as ground:
        yield ground.serve()


@pytest.fixture
def ground(
    ground: harness.Ground, server: harness.Server, request: pytest.FixtureRequest
) -> harness.Ground:
    """The same, with a database of its own on that server."""
    name = re.sub(r"\W", "_", request.node.name)
    ground.use_server(server, "default")
    ground.query(f"CREATE DATABASE {name}")
    ground.use_server(server, name)
    return ground


@pytest.fixture
def own_store(
    tmp_path: Path, sandbox: harness.Sandbox, prepared: harness.PreparedStore
) -> Iterator[harness.Ground]:
    """A ground with an embedded store of its own, which may be stopped and killed.

    The stall bound is far below the outages: who waits for the store must not pass for stalled.
    """
    settings = {"stall_s": 1.5, "buffer_bytes": 200_000, "batch_rows": 500}
    with harness.ground(tmp_path, sandbox.url, prepared=prepared, **settings) as made:
        yield made


@pytest.mark.parametrize("kind", _BY_KIND)
def test_a_fault_that_passes_leaves_no_trace(
    kind: str, ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    # There are few requests with a cursor, and each kind of them is hit in a row.
    hits = {"cursor_repeat": 4, "cursor_refused": 2}.get(kind, 3 if kind in _SLOW else 8)
    share = 1 if kind.startswith("cursor") else 0.3
    sandbox.faults({"kind": kind, "route": "data", "probability": share, "count": hits})
    ground.set(request_deadline_s=1)
    ended = ground.run("run", *ground.write_keys(sandbox))
    ended.expect(0)
    assert sandbox.fired()[kind] == hits
    ground.prove(sandbox)


def test_what_cannot_be_used_or_had_costs_itself_alone(
    ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    """Bad rows, fields nobody knows, a wallet and a condition that are refused for good.

    Seed 001, connector: an error is never reported as 0 trades.
    """
    refused, *wallets = sandbox.wallets
    conditions = [*sandbox.conditions[:3], *sandbox.conditions[4:]]
    sandbox.faults(
        {"kind": "400", "route": "activity", "match": refused},
        {"kind": "400", "route": "trades", "match": sandbox.conditions[3]},
        # An empty page stays empty: one of each of these has rows.
        *(
            {"kind": "bad_row", "route": "activity", "match": wallet, "count": 1}
            for wallet in wallets[:8]
        ),
        {"kind": "unknown_field", "route": "activity", "count": 5},
    )
    ground.plan(sandbox)
    ended = ground.run("run", "conditions", "wallets")
    ended.expect(errors.EXIT_UNITS_IN_ERROR)
    ground.prove(sandbox, wallets, conditions)
    set_aside = ground.sql("SELECT reason, request, raw FROM quarantine")
    assert len(set_aside) == sandbox.fired()["bad_row"] == 8
    assert all(row["reason"] and "/v2/activity" in row["request"] for row in set_aside)
    picture = ground.status()
    assert picture is not None
    assert picture["parts"]["wallets"]["unknown_fields"]["sandbox_extra"] > 0
    [in_error] = ground.sql(
        "SELECT wallet_address, error_message FROM wallet_backfill_plan WHERE status = 'error'"
    )
    assert in_error["wallet_address"] == refused.removeprefix("0x")
    assert "this question cannot be answered" in in_error["error_message"]
    assert ground.statuses() == {"done": len(wallets), "error": 1}


@pytest.mark.parametrize(
    "window", [(), pytest.param(("--since", "2015-01-01"), marks=pytest.mark.long)]
)
def test_what_passing_trouble_ended_is_taken_up_by_the_next_run(
    window: tuple[str, ...], ground: harness.Ground, sandbox: harness.Sandbox
) -> None:
    failing, refused, *others = sandbox.wallets[:5]
    sandbox.faults(
        {"kind": "503", "route": "activity", "match": failing},
        {"kind": "400", "route": "activity", "match": refused},
    )
    ground.set(max_attempts=2, page_attempts=2)
    wallets = ground.folder / "wallets.txt"
    wallets.write_text("\n".join([failing, refused, *others]))
    ground.run("plan", "build", "--from", str(wallets)).expect(0)
    ground.run("run", "wallets", *window).expect(errors.EXIT_UNITS_IN_ERROR)
    ground.prove(sandbox, wallets=others, conditions=[])
    if not window:
        assert ground.statuses() == {"done": len(others), "error": 2}
    sandbox.faults({"kind": "400", "route": "activity", "match": refused})
    ground.run("run", "wallets", *window).expect(errors.EXIT_UNITS_IN_ERROR)
    assert sandbox.fired() == {"400": 0}, "what the API refused is not asked again"
    ground.prove(sandbox, wallets=[failing, *others], conditions=[])
    if not window:
        assert ground.statuses() == {"done": len(others) + 1, "error": 1}


# Everything at once, often enough that no page comes through untouched for long.
MIXED = [
    {"kind": kind, "route": "data", "probability": 0.02, "retry_after_s": 1}
    for kind in PASSING
    if kind not in _SLOW
] + [{"kind": kind, "route": "data", "probability": 0.02, "count": 1} for kind in sorted(_SLOW)]


@pytest.mark.parametrize(
    "away_s", [4.0, pytest.param(20.0, marks=[pytest.mark.long, pytest.mark.timeout(300)])]
)
def test_all_faults_mixed_and_the_store_away_in_the_middle(
    away_s: float, own_store: harness.Ground, sandbox: harness.Sandbox
) -> None:
    sandbox.faults(*MIXED)
    own_store.set(request_deadline_s=1)
    daemon = own_store.start("run", *own_store.write_keys(sandbox))
    harness.until(lambda: sandbox.pages() > 20, "the first pages")
    store_pid = own_store.store_pid()
    assert store_pid is not None
    os.kill(store_pid, signal.SIGSTOP)
    with pytest.raises(AssertionError):  # nothing ends while nothing can be stored
        harness.until(lambda: not daemon.running, "an end", within_s=away_s)
    os.kill(store_pid, signal.SIGCONT)
    ended = daemon.end(90)
    ended.expect(0)
    assert sum(sandbox.fired().values()) > 10
    own_store.prove(sandbox)
    assert own_store.events("worker.stalled") == []


@pytest.mark.long
def test_the_store_dies_and_cannot_come_back_at_once(
    own_store: harness.Ground, sandbox: harness.Sandbox
) -> None:
    daemon = own_store.start("run", *own_store.write_keys(sandbox))
    harness.until(lambda: sandbox.pages() > 20, "the first pages")
    first = own_store.store_pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    # Whoever holds its folder keeps a new child out; one needs longer to start than this.
    lock = filelock.FileLock(endpoint_file.lock_path(own_store.store), timeout=5)
    with lock, pytest.raises(AssertionError):
        harness.until(lambda: not daemon.running, "an end", within_s=3)
    daemon.end().expect(0)
    assert own_store.store_pid() != first
    own_store.prove(sandbox)
    assert own_store.events("worker.stalled") == []
