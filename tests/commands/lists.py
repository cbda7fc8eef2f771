"""The sandbox's streams of its ledger and its markets, for a computation of one's own."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def ndjson(url: str) -> list[dict[str, Any]]:
    """The lines of one of the streams."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  (loopback)
        return [json.loads(line) for line in answer]


def bare(condition: str) -> str:
    """A condition id as it is stored."""
    text = condition.lower().removeprefix("0x")
    return text.ljust(64, "0") if len(text) == 62 else text
