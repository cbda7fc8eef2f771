"""Stands in for `python -m polybackfill`: kills its own process at a step of a push.

Arguments: the step, which of its calls, then the command's own. The steps:

    sending    the first piece of a slice is on its way
    sent       a slice is there, and not compared
    moved      a server's part of a table is in its place, that of the next server is not
    shown      a table is in its place, the others are not
    copied     every table is in its place, the checkpoint is not
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from polybackfill import cli
from polybackfill.run import store_push
from polybackfill.store import client, table_copy

STEPS: dict[str, tuple[Any, str]] = {
    "sent": (client.Store, "insert_stream"),
    "moved": (client.Store, "move_in"),
    "shown": (table_copy.TableCopy, "show"),
    "copied": (store_push, "_copy"),
}


def die_after(owner: Any, name: str, calls: int) -> None:
    """When the call of that number is over."""
    honest, left = getattr(owner, name), calls

    async def doomed(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        outcome = await honest(*arguments, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    setattr(owner, name, doomed)


def die_while_sending(calls: int) -> None:
    """When the first piece of the slice of that number was handed over."""
    honest, left = client.Store.insert_stream, calls

    async def doomed(self: client.Store, target: str, rows: AsyncIterator[bytes], fmt: str) -> None:
        nonlocal left
        left -= 1

        async def first() -> AsyncIterator[bytes]:
            async for piece in rows:
                yield piece
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        await honest(self, target, first(), fmt)

    client.Store.insert_stream = doomed  # type: ignore[method-assign]


if __name__ == "__main__":
    step, number = sys.argv[1], int(sys.argv[2])
    if step == "sending":
        die_while_sending(number)
    else:
        die_after(*STEPS[step], number)
    sys.exit(cli.main(sys.argv[3:]))
