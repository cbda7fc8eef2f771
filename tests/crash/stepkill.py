"""Stands in for `python -m polybackfill`: kills its own process between two steps of its work.

Arguments: the step, which of its calls, then the command's own. The steps, in the order in which a
page goes through them, and what has happened to it when the process dies:

    fetched       the answer is here, nothing was made of it
    parsed        its rows are encoded, the batch does not hold them
    batched       the batch is cut, the store has heard nothing
    sent          the store has the whole insert, its acknowledgement was not read
    acknowledged  the store has acknowledged, the checkpoint has not moved
    written       the checkpoint's lines are on the disk, nobody was told
    untold        the checkpoint holds receipts, the store does not
    told          the store's receipts say it, the plan does not and the checkpoint has not noted it
    taken         a unit was begun and nothing fetched
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import aiohttp

from polybackfill import cli
from polybackfill.checkpoint import run_checkpoint
from polybackfill.engine import store_writer, unit_queue
from polybackfill.polymarket import http
from polybackfill.store import client, stored_receipts

STEPS = (
    "fetched",
    "parsed",
    "batched",
    "sent",
    "acknowledged",
    "written",
    "untold",
    "told",
    "taken",
)


class Doom:
    """Dies at the n-th call."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def strike(self) -> None:
        """One call nearer."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, doom: Doom) -> None:
    """Die instead of the n-th call of a coroutine method."""
    honest: Callable[..., Any] = getattr(owner, name)

    async def doomed(*arguments: Any, **named: Any) -> Any:
        doom.strike()
        return await honest(*arguments, **named)

    setattr(owner, name, doomed)


def after(owner: Any, name: str, doom: Doom) -> None:
    """Die when the n-th call of a coroutine method is over."""
    honest: Callable[..., Any] = getattr(owner, name)

    async def doomed(*arguments: Any, **named: Any) -> Any:
        outcome = await honest(*arguments, **named)
        doom.strike()
        return outcome

    setattr(owner, name, doomed)


def while_waiting_for_the_store(doom: Doom) -> None:
    """Die when the n-th insert is sent and its answer has come in, unread."""
    honest = aiohttp.ClientResponse.start

    async def doomed(self: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        if self.method != "POST" or "query_id=polybackfill-insert-" not in str(self.url):
            return await honest(self, connection)
        started = await honest(self, connection)
        doom.strike()
        return started

    aiohttp.ClientResponse.start = doomed  # type: ignore[method-assign]


def arm(step: str, doom: Doom) -> None:
    """Put the doom between two steps."""
    if step == "fetched":
        after(http.Client, "get", doom)
    elif step == "parsed":
        before(store_writer.WriteBuffer, "add", doom)
    elif step == "batched":
        before(client.Store, "insert", doom)
    elif step == "sent":
        while_waiting_for_the_store(doom)
    elif step == "acknowledged":
        after(client.Store, "insert", doom)
    elif step == "written":
        after(run_checkpoint.Checkpoint, "sync", doom)
    elif step == "untold":
        before(stored_receipts.StoredReceipts, "follow", doom)
    elif step == "told":
        after(stored_receipts.StoredReceipts, "follow", doom)
    elif step == "taken":
        after(unit_queue.Queue, "lease_next", doom)
    else:
        raise ValueError(f"no step {step}: {STEPS}")


if __name__ == "__main__":
    arm(sys.argv[1], Doom(int(sys.argv[2])))
    assert asyncio.iscoroutinefunction(http.Client.get)
    sys.exit(cli.main(sys.argv[3:]))
