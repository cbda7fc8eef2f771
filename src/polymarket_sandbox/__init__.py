"""A faithful local Polymarket: Data API v2, Gamma keyset lists and CLOB `/markets`.

Written from the description of the live services, not from the client of `polybackfill`: the two
share no code, so that one cannot hide the other's mistake. Nothing here imports that package.
"""

from __future__ import annotations

from importlib import util


class MissingPackageError(Exception):
    """A package that only the sandbox needs is not installed; the message says how to get it."""


def require_packages() -> None:
    """Raise MissingPackageError unless the extra `sandbox` is installed."""
    if util.find_spec("numpy") is None:
        raise MissingPackageError(
            "the local Polymarket needs numpy; install polybackfill with its extra: "
            "pip install '.[sandbox]'"
        )
