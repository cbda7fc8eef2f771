"""Stands in for `python -m polybackfill`: one answer blocks the event loop for 3 s."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from polybackfill import cli
from polybackfill.polymarket import http

BLOCK_AT = 40
BLOCK_S = 3.0

_get = http.Client.get
_answers = 0


async def _blocking_get(self: http.Client, *arguments: Any) -> http.Response:
    global _answers  # noqa: PLW0603
    reply = await _get(self, *arguments)
    _answers += 1
    if _answers == BLOCK_AT:
        print("loop blocked at", time.monotonic(), file=sys.stderr, flush=True)
        threading.Event().wait(BLOCK_S)
        print("loop free at", time.monotonic(), file=sys.stderr, flush=True)
    return reply


http.Client.get = _blocking_get  # type: ignore[method-assign]
sys.exit(cli.main())
