"""`polybackfill sandbox`."""

from __future__ import annotations

import argparse

from polybackfill.sandbox import app, options


def sandbox(arguments: argparse.Namespace) -> int:
    """Serve the local Polymarket until SIGTERM or Ctrl-C."""
    app.serve(
        options.SandboxOptions(
            port=arguments.port,
            seed=arguments.seed,
            markets=arguments.markets,
            wallets=arguments.wallets,
            trades=arguments.trades,
            latency_ms=arguments.latency_ms,
            limits=arguments.limits,
            faults=arguments.faults,
            replay=arguments.replay,
        )
    )
    return 0
