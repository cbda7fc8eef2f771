"""Where a suspended coroutine stands: the whole chain of awaits, outermost first."""

from __future__ import annotations

import asyncio
import gc
import linecache
from types import AsyncGeneratorType, FrameType
from typing import Any


def format_stack(task: asyncio.Task[Any]) -> str:
    """The stack of a task as text, one `file:line function  code` a line.

    `Task.get_stack` shows one frame of a suspended coroutine; the await that hangs lies deeper.
    """
    awaited: Any = task.get_coro()
    lines: list[str] = []
    while awaited is not None:
        awaited = _unwrapped(awaited)
        frame = _frame(awaited)
        if frame is None:
            lines.append(f"awaits {awaited!r}")
            break
        lines.append(_line(frame))
        awaited = _next(awaited)
    return "\n".join(lines)


def _unwrapped(awaited: Any) -> Any:
    # `async for` awaits an opaque step object; only the collector knows the generator behind it.
    if _frame(awaited) is not None or isinstance(awaited, asyncio.Future):
        return awaited
    generators = [
        referent
        for referent in gc.get_referents(awaited)
        if isinstance(referent, AsyncGeneratorType)
    ]
    return generators[0] if generators else awaited


def _frame(awaited: Any) -> FrameType | None:
    for name in ("cr_frame", "ag_frame", "gi_frame"):
        frame = getattr(awaited, name, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def _next(awaited: Any) -> Any:
    for name in ("cr_await", "ag_await", "gi_yieldfrom"):
        deeper = getattr(awaited, name, None)
        if deeper is not None:
            return deeper
    return None


def _line(frame: FrameType) -> str:
    code = frame.f_code
    source = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}  {source}"
