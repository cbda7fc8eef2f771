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

_Request = tuple[str, int, bool]  # condition id, outcomes, whether of negative risk


def fill_token_ids(markets: Sequence[catalog.Market]) -> None:
    """Give every market its token ids."""
    waiting = [market for market in markets if market.token_ids is None]
    if len(waiting) < _MANY:
        for market in waiting:
            _ = market.tokens
        return
    requests = [(market.condition_id, len(market.outcomes), market.neg_risk) for market in waiting]
    for market, found in zip(waiting, _derived(requests), strict=True):
        market.token_ids = found


def _derived(requests: Sequence[_Request]) -> list[tuple[str, ...]]:
    # Not forked: the sandbox has threads by now.
    spawning = multiprocessing.get_context("spawn")
    share = -(-len(requests) // (os.cpu_count() or 1))
    working = []
    for first in range(0, len(requests), share):
        receiver, sender = spawning.Pipe(duplex=False)
        worker = spawning.Process(
            target=_work, args=(requests[first : first + share], sender), daemon=True
        )
        worker.start()
        sender.close()
        working.append((worker, receiver))
    found: list[tuple[str, ...]] = []
    for worker, receiver in working:
        found += receiver.recv()
        worker.join()
    return found


def _work(requests: Sequence[_Request], sender: connection.Connection) -> None:
    sender.send(
        [
            tuple(tokens.token_id(condition, at, neg_risk=neg_risk) for at in range(outcomes))
            for condition, outcomes, neg_risk in requests
        ]
    )
