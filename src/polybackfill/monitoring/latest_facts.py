"""The newest picture of the run, for everybody who shows it: one is published a second."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from polybackfill import redaction
from polybackfill.monitoring import run_facts


class LatestFacts:
    """Holds one picture, as facts and as JSON without secrets. `facts`: None before the first.

    `number` grows with each picture, so that a reader knows which ones it has missed.
    """

    def __init__(self, run_name: str) -> None:
        self.facts: run_facts.RunFacts | None = None
        self.number = 0
        self.document = _encode({"run": run_name, "state": "starting"})
        self._published = asyncio.Event()

    def publish(self, picture: Mapping[str, Any]) -> run_facts.RunFacts:
        """Take the place of the picture before, and wake who waits for one."""
        self.facts = run_facts.read_facts(picture)
        self.document = _encode(picture)
        self.number += 1
        self._published.set()
        self._published = asyncio.Event()
        return self.facts

    async def wait_for_newer(self, number: int) -> None:
        """Return when a picture was published after the one with this number."""
        while self.number <= number:
            await self._published.wait()


def _encode(picture: Mapping[str, Any]) -> bytes:
    """One line of JSON. Texts of the API stand in it, and errors that may repeat a URL."""
    return redaction.redact(orjson.dumps(picture, default=str).decode()).encode()
