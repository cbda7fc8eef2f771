"""The kinds of units, one module each, by the part that a person runs, and which feeds which.

This is the only list of them, in the order in which they feed on each other. It holds names alone,
so that `--help` shows the parts without loading a kind; `registry` loads them.
"""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """The module of a kind, and the kinds that push keys to it: `ready`, a first listing is worth
    its while when these have ended; `ended`, nothing will be added any more when these have, too.
    """

    module: str
    ready: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call the kind."""
        return self.module.replace("_", "-")


_LISTS = ("clob", "markets", "events")

MODULES: dict[str, tuple[Listed, ...]] = {
    "markets": (
        Listed("clob"),
        Listed("markets"),
        Listed("lookups", ready=_LISTS, ended=("conditions", "wallets", "resolutions")),
        Listed("new_markets", ended=_LISTS),
    ),
    "events": (Listed("events"), Listed("new_events", ended=_LISTS)),
    "conditions": (
        Listed("conditions", ready=_LISTS),
        Listed("recent_trades", ended=("conditions",)),
    ),
    # A change of a position is a reason to read a wallet again.
    "wallets": (Listed("wallets", ended=("conditions", "positions")),),
    "positions": (Listed("positions", ended=("conditions",)),),
    "resolutions": (Listed("resolutions", ready=_LISTS, ended=("conditions", "wallets")),),
    # When a wallet and what it holds were read, so that both figures speak of the same time.
    "user-stats": (Listed("user_stats", ready=("conditions", "wallets", "positions")),),
}
