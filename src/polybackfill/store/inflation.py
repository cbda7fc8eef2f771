"""Sources of pm_trades whose shares are too large: the views that read pm_trades divide them.

Shares of tables derived from Goldsky's subgraph, and the USD made of them, are 128 times too large
(seed 004, contract 1). The list is a setting; the store keeps it as the view `inflated_sources`, so
that every statement divides alike, a person's own as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from chdb_http import statements
from polybackfill.store import client, definitions

_VIEW = "inflated_sources"


async def declare(store: client.Store, sources: Sequence[str]) -> None:
    """Bring the view in line with the setting. Raises what the store raises."""
    declared = await store.rows(f"SELECT source FROM {_VIEW}")
    if {row["source"] for row in declared} == set(sources):
        return
    (created,) = definitions.creating(_VIEW, store.address.cluster)
    quoted = ", ".join(statements.quoted(source) for source in sorted(set(sources)))
    await store.command(created.replace("['goldsky']", f"[{quoted}]"))
