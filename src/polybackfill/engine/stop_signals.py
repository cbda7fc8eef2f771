"""Two stages of stopping: the first signal asks, the second does not wait."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from polybackfill import errors

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def catch_stop_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on the first SIGTERM, SIGINT or SIGHUP; leave the process at once on the second.

    SIGHUP, a terminal that closes, stays ignored where nohup has it ignored.

    Plain handlers, not the loop's: the second signal must work while the loop is blocked. What was
    acknowledged is recorded already, so leaving at once loses nothing. SIGUSR1 writes all stacks
    to stderr, also when a C call holds the interpreter.
    """
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and seen:
            return  # a closing terminal sends it, its shell again: nobody's second word
        if seen:
            with contextlib.suppress(OSError):  # nobody may be there to read it
                os.write(2, b"second signal: leaving at once; what was acknowledged is recorded\n")
            os._exit(errors.EXIT_FORCED)
        seen.append(number)
        loop.call_soon_threadsafe(stop.set)

    heard = [
        number
        for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, on_signal) for number in heard}
    if sys.stderr is not None and hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, file=2)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
