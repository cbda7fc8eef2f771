"""One job on several daemons, each with an address of its own: how much faster than one, and is
all of it right.

Positions are the slowest part of a whole universe, so they are what is measured: two requests a
wallet, at the limit all the time. Sandbox, server, Keeper and daemons are processes of their own.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import harness, keeper, real_server
from tests.bench import bench_budgets as budgets
from tests.bench import bench_figures as figures
from tests.bench import bench_whole
from tests.bench.bench_figures import Figure

from polybackfill.checkpoint import run_checkpoint
from polybackfill.polymarket import endpoints

JOB = "bench"
KIND = "positions"
TABLE = "positions"
REQUESTS_PER_WALLET = 2
SETTLE_S = 25.0  # a window of the limits, and the shards shared out anew
END_S = 400.0
EACH = 3.7 / 4


@dataclass(frozen=True)
class Measured:
    """A job on so many daemons. `units_per_min`: in the steady part; `used`: of the limits of all
    addresses together; `keeper_per_s`: requests of the server to its Keeper; `cores`: in use by
    everything on the machine, `others`: by what is not of the bench.
    """

    hosts: int
    units_per_min: float
    used: float
    keeper_per_s: float
    cores: float
    others: float
    checks: list[Figure]


def published(seconds: float = 45.0) -> list[Figure]:
    """Four daemons beside one, at the published limits."""
    return _compare((1, 4), 1.0, seconds, least=EACH)


def many(seconds: float = 45.0) -> list[Figure]:
    """1, 2, 4 and 8 daemons at half the published limits, the same for all: what runs beside each
    other here would need more cores at the whole.
    """
    return _compare((1, 2, 4, 8), 0.5, seconds, least=EACH)


def _compare(counts: Sequence[int], factor: float, seconds: float, *, least: float) -> list[Figure]:
    found: list[Figure] = []
    one: Measured | None = None
    for count in counts:
        job = _measure(count, factor, seconds)
        one = one or job
        times = job.units_per_min / one.units_per_min
        limit = endpoints.PUBLISHED["/v2/positions"].requests * factor
        text = f"{count} daemons, {limit:.0f} requests per 10 s each" if count > 1 else "one daemon"
        found.append(
            Figure(f"{text}: wallets a minute over {seconds:.0f} s", f"{job.units_per_min:,.0f}")
        )
        if count > 1:
            found.append(
                Figure(
                    "  of one", f"{times:.2f} x", f">= {least * count:g} x", times >= least * count
                )
            )
        found.append(Figure("  of the limits of all addresses", f"{job.used:.1%}"))
        keeper_text = f"{job.keeper_per_s:.1f}, {job.keeper_per_s * 3_600:,.0f}"
        found.append(Figure("  requests to Keeper: a second, an hour", keeper_text))
        found += job.checks
        found.append(
            Figure("  cores in use, of which others took", f"{job.cores:.1f}, {job.others:.1f}")
        )
    return found


def _measure(count: int, factor: float, seconds: float) -> Measured:
    """One job from its beginning to its end, and what it left."""
    a_second = endpoints.PUBLISHED["/v2/positions"].requests * factor / endpoints.WINDOW_S
    each = round(a_second / REQUESTS_PER_WALLET * (SETTLE_S + seconds + 20.0))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sandbox = stack.enter_context(
            harness.sandbox(
                trades=max(20_000, 20 * each * count),
                wallets=each * count,
                markets=2_000,
                latency_ms=budgets.LATENCY_MS,
            )
        )
        port = stack.enter_context(keeper.running(folder / "keeper")).port
        server = stack.enter_context(real_server.running(folder / "server", keeper_port=port))
        place = _Place(folder, sandbox, server)
        hosts = [stack.enter_context(_host(place, number, factor)) for number in range(count)]
        sandbox.ask("limits", {"factor": factor})
        sandbox.reset()
        daemons = [host.start("run", KIND, "--json") for host in hosts]
        harness.until(
            lambda: len(sandbox.ask("stats")["addresses"]) == count, "requests of each", 120.0
        )
        budgets.wait_s(SETTLE_S, daemons[0])
        meter = budgets.Meter(sandbox, daemons[0])
        meter.close()
        with figures.noise() as noise:
            before, keeper_before = budgets.read(sandbox), _keeper_requests(server)
            points = _sample(hosts, daemons, seconds)
            after, keeper_after = budgets.read(sandbox), _keeper_requests(server)
        meter.close()
        units_per_min = figures.slope(points) * 60
        for daemon in daemons:
            daemon.end(END_S).expect(0)
        return Measured(
            count,
            units_per_min,
            after.rate(before, KIND) / (a_second * count),
            (keeper_after - keeper_before) / (after.at - before.at),
            noise.busy,
            noise.others,
            [*meter.figures(), *_right(hosts, sandbox)],
        )


@dataclass(frozen=True)
class _Place:
    """Where the hosts of one job stand."""

    folder: Path
    sandbox: harness.Sandbox
    server: real_server.Server


@contextlib.contextmanager
def _host(place: _Place, number: int, factor: float) -> Iterator[harness.Ground]:
    """One with a folder, a name and an address of its own; the first makes the plan."""
    limits = {
        name: max(1, int(budget.requests * factor)) for name, budget in endpoints.PUBLISHED.items()
    }
    home = place.folder / f"host{number}"
    home.mkdir()
    with bench_whole.as_shipped(str(home), place.sandbox) as ground:
        ground.set(limits=json.dumps(limits), run_name=f"host{number}")
        if number:
            ground.use_server(place.server.port, JOB)
        else:
            ground.use_server(place.server.port, place.server.database(JOB))
            file = home / "plan.txt"
            file.write_text("\n".join(place.sandbox.wallets))
            ground.run("plan", "build", "--from", str(file)).expect(0)
        ground.set(job=JOB, source_address=f"127.0.0.{number + 2}")
        yield ground


def _sample(
    hosts: Sequence[harness.Ground], daemons: Sequence[harness.Daemon], seconds: float
) -> list[tuple[float, float]]:
    """Seconds, and the units that all of them have proven by then."""
    points, began_at, pause = [], time.monotonic(), threading.Event()
    while (at := time.monotonic() - began_at) < seconds:
        assert all(daemon.running for daemon in daemons), "a daemon ran out of work"
        points.append((at, float(sum(_proven(host) for host in hosts))))
        pause.wait(1.0)
    return points


def _keeper_requests(server: real_server.Server) -> int:
    """Since the server began."""
    return int(
        server.sql("SELECT value FROM system.events WHERE event = 'ZooKeeperTransactions'") or 0
    )


def _checkpoint(host: harness.Ground) -> run_checkpoint.Checkpoint:
    return run_checkpoint.Checkpoint.view(host.checkpoints / host.environment["BACKFILL_RUN_NAME"])


def _proven(host: harness.Ground) -> int:
    totals = _checkpoint(host).totals().get(KIND)
    return 0 if totals is None else totals.units


def _right(hosts: Sequence[harness.Ground], sandbox: harness.Sandbox) -> list[Figure]:
    """The table beside the truth, and how often a unit was proven."""
    truth = sandbox.ask("truth")[TABLE]
    stored = hosts[0].tables()[TABLE]
    proofs = Counter(
        receipt.unit.id for host in hosts for receipt in _checkpoint(host).receipts(KIND)
    )
    twice = sum(times > 1 for times in proofs.values())
    is_equal = stored == (truth["count"], truth["digest"])
    told = f"{stored[0]:,} rows, {'equal' if is_equal else 'NOT equal'}"
    return [
        Figure("  digest of the table beside the truth", told, "equal", is_equal),
        Figure(f"  units proven twice, of {len(proofs):,}", str(twice), "0", twice == 0),
    ]
