"""The kinds of units, one module each, by the part that a person runs.

This is the only list of them, in the order in which they feed on each other. It holds names alone,
so that `--help` shows the parts without loading a kind; `registry` loads them.
"""

from __future__ import annotations

MODULES: dict[str, tuple[str, ...]] = {
    "markets": ("clob", "markets", "lookups", "new_markets"),
    "events": ("events", "new_events"),
    "conditions": ("conditions", "recent_trades"),
    "wallets": ("wallets",),
    "positions": ("positions",),
    "resolutions": ("resolutions",),
    "user-stats": ("user_stats",),
}
