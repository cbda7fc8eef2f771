"""`polybackfill plan estimate`: what a run would cost."""

from __future__ import annotations

import argparse
import sys
import time

from polybackfill import errors
from polybackfill.inputs import time_arguments
from polybackfill.run import bootstrap, disk_space, run_estimate, run_request


def estimate(arguments: argparse.Namespace) -> int:
    """The command: what a run of these parts would cost. Nothing is fetched."""
    chosen = bootstrap.settings_of(arguments)
    stop_at = time_arguments.stop_time(arguments.until, time.time())
    request = run_request.RunRequest(
        parts=run_request.parse_parts(arguments.parts),
        window=time_arguments.parse(arguments.since, None if stop_at else arguments.until),
        stop_at=stop_at,
        plan_decides=not (arguments.parts or arguments.everything),
    )
    if arguments.hosts < 1:
        raise errors.Stop(f"--hosts {arguments.hosts}: give the number of hosts, 1 or more")
    document, lines = bootstrap.run(run_estimate.read(chosen, request, hosts=arguments.hosts))
    if arguments.json:
        bootstrap.print_json(document)
    else:
        if document["scope"]:
            print(document["scope"])
        run_estimate.show(lines, document, sys.stdout)
        if notice := disk_space.warning(chosen, document["bytes"]):
            print(f"warning: {notice}")
    return errors.EXIT_OK
