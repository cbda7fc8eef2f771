"""The newest JSON document of a source, for everybody who shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from polybackfill import redaction


class LatestDocument:
    """Holds one document as JSON without secrets.

    `number` grows with each, so that a reader knows which ones it has missed.
    """

    def __init__(self, first: Mapping[str, Any]) -> None:
        self.number = 0
        self.body = encode(first)
        self._published = asyncio.Event()

    def publish(self, document: Mapping[str, Any]) -> None:
        """Take the place of the document before, and wake who waits for one."""
        self.body = encode(document)
        self.number += 1
        self._published.set()
        self._published = asyncio.Event()

    async def wait_for_newer(self, number: int) -> None:
        """Return when a document was published after the one with this number."""
        while self.number <= number:
            await self._published.wait()


def encode(document: object) -> bytes:
    """One line of JSON. Texts of the API stand in it, and errors that may repeat a URL."""
    plain = orjson.loads(orjson.dumps(document, default=str))  # paths, dataclasses and the like
    return orjson.dumps(redaction.redact_values(plain))
