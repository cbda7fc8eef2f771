"""The token ids of many markets, derived by all cores: 60 µs each.

Every process gets its share when it starts and ends when it has sent the result, so none is left
behind when the sandbox is killed meanwhile.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing import connection

from polymarket_sandbox import catalog, tokens

# Fewer are derived faster than processes start.
_MANY = 50_000

_Asked = tuple[str, int, bool]  # condition id, outcomes, whether of negative risk


def fill(markets: Sequence[catalog.Market]) -> None:
    """Give every market its token ids."""
    waiting = [market for market in markets if market.token_ids is None]
    if len(waiting) < _MANY:
        for market in waiting:
            _ = market.tokens
        return
    asked = [(market.condition_id, len(market.outcomes), market.neg_risk) for market in waiting]
    for market, found in zip(waiting, _derived(asked), strict=True):
        market.token_ids = found


def _derived(asked: Sequence[_Asked]) -> list[tuple[str, ...]]:
    # Not forked: the sandbox has threads by now.
    spawning = multiprocessing.get_context("spawn")
    share = -(-len(asked) // (os.cpu_count() or 1))
    working = []
    for first in range(0, len(asked), share):
        told, tell = spawning.Pipe(duplex=False)
        worker = spawning.Process(
            target=_work, args=(asked[first : first + share], tell), daemon=True
        )
        worker.start()
        tell.close()
        working.append((worker, told))
    found: list[tuple[str, ...]] = []
    for worker, told in working:
        found += told.recv()
        worker.join()
    return found


def _work(asked: Sequence[_Asked], tell: connection.Connection) -> None:
    tell.send(
        [
            tuple(tokens.token_id(condition, at, neg_risk=neg_risk) for at in range(outcomes))
            for condition, outcomes, neg_risk in asked
        ]
    )
