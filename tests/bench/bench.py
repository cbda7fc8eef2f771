"""What the program costs, measured here and now, each figure beside its target.

    python tests/bench/bench.py [PART …]

Without words all parts down to `follow`. `whole`: processor and rows a second of a run without
limits, bytes on disk. `history`: start and memory with a million finished units. `grown`: inserts
into a table of 20 million rows. `inserts`: what an insert saves that does not merge its block with
itself. `durable`: what syncing every acknowledged row costs. `limits`: use of the published limits,
and of limits that change. `shares`: two runs that share them. `side`: all parts of a run side by
side at the published limits. `estimate`: the plan with hours over the whole exchange. `proof`: the
checks of five million trades. `markets`: the lists of a million markets. `monitoring`: a scrape,
and what the endpoint costs a run. `follow`: what a run costs that follows while nothing happens.
`headline`: the seed's jobs at the published limits, half an hour; one of them alone is
`headline-markets`, `headline-positions`, `headline-lookups` or `headline-wallets`. `hosts`: one job
on four daemons beside one, at the published limits; `hosts-many`: on 1, 2, 4 and 8 at half of them.
`eta-whole`, `eta-chosen`: the time left that runs tell, beside the truth, in another universe with
`--seed 2`.
`soak --minutes 30`: memory, open files and logs of a run under faults. Exit 1 when a target is
missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import (
    bench_budgets,
    bench_durable,
    bench_estimate,
    bench_eta,
    bench_figures,
    bench_follow,
    bench_grown,
    bench_headline,
    bench_hosts,
    bench_inserts,
    bench_lists,
    bench_monitoring,
    bench_proof,
    bench_side,
    bench_soak,
    bench_whole,
)

PARTS: dict[str, Callable[[], list[bench_figures.Figure]]] = {
    "whole": lambda: bench_whole.throughput(trades=1_000_000),
    "history": lambda: bench_whole.a_million_units(trades=2_500_000, count=1_000_000),
    "grown": lambda: bench_grown.inserts(existing=20_000_000),
    "inserts": bench_inserts.merging,
    "durable": bench_durable.durable,
    "limits": lambda: bench_budgets.whole_daemon(seconds=60.0),
    "shares": lambda: bench_budgets.shares(seconds=60.0),
    "side": lambda: bench_side.all_parts(seconds=60.0),
    "estimate": lambda: bench_estimate.plan(conditions=1_500_000, wallets=1_000_000),
    "proof": lambda: bench_proof.proof(trades=5_000_000, shared=0.1),
    "markets": lambda: bench_lists.enumeration(markets=1_000_000),
    "monitoring": lambda: bench_monitoring.endpoint(seconds=80.0),
    "follow": lambda: bench_follow.idle(seconds=930.0),
}
# At the published limits, which is what takes long.
LONG: dict[str, Callable[[], list[bench_figures.Figure]]] = {
    "headline": bench_headline.headline,
    **bench_headline.JOBS,
    "hosts": bench_hosts.published,
    "hosts-many": bench_hosts.many,
}

NAMES = (*PARTS, *LONG, "eta-whole", "eta-chosen", "soak")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long `soak` takes")
    parser.add_argument("--seed", type=int, default=1, help="the universe of `eta-…`")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(NAMES))
    arguments = parser.parse_args()
    known = PARTS | LONG
    known["eta-whole"] = lambda: bench_eta.whole(arguments.seed)
    known["eta-chosen"] = lambda: bench_eta.chosen(arguments.seed)
    known["soak"] = lambda: bench_soak.soak(arguments.minutes)
    asked = arguments.parts or list(PARTS)
    unknown = set(asked) - set(known)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}: the parts are {', '.join(known)}")
    bench_figures.mark_children()
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load before: {load:.1f}")
    missed = 0
    for name in asked:
        began_at = time.monotonic()
        found = known[name]()
        print(f"\n{name} ({time.monotonic() - began_at:.0f} s)")
        print(bench_figures.table(found), flush=True)
        missed += sum(figure.holds is False for figure in found)
    print(f"\n{missed} missed" if missed else "\nevery target met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
