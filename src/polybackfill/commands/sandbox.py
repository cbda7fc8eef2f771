"""`polybackfill sandbox`."""

from __future__ import annotations

import argparse

import polymarket_sandbox
from polybackfill import errors
from polymarket_sandbox import options


def sandbox(arguments: argparse.Namespace) -> int:
    """Serve the local Polymarket until SIGTERM or Ctrl-C."""
    try:
        polymarket_sandbox.require_packages()
        from polymarket_sandbox import app  # noqa: PLC0415  (it imports numpy)

        app.serve(_options(arguments))
    except polymarket_sandbox.MissingPackageError as error:
        raise errors.Stop(str(error)) from error
    except options.OptionsError as error:
        raise errors.Stop(f"sandbox: {error}") from error
    except OSError as error:
        raise errors.Stop(
            f"sandbox: port {arguments.port} cannot be used ({error.strerror}): "
            "give another --port",
            exit_code=errors.EXIT_UNAVAILABLE,
        ) from error
    return errors.EXIT_OK


def _options(arguments: argparse.Namespace) -> options.SandboxOptions:
    return options.SandboxOptions(
        port=arguments.port,
        seed=arguments.seed,
        markets=arguments.markets,
        events=arguments.events,
        wallets=arguments.wallets,
        trades=arguments.trades,
        latency_ms=arguments.latency_ms,
        limits=arguments.limits,
        faults=arguments.faults,
        replay=arguments.replay,
        cache=arguments.cache,
        money_cases=arguments.money_cases,
        late_rows=arguments.late_rows,
        grow_s=arguments.grow,
        grow_on_request=arguments.grow_on_request,
        now=arguments.now,
    )
