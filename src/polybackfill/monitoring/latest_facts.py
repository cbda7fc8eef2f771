"""The newest picture of the run, for everybody who shows it: one is published a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polybackfill.monitoring import latest_document, run_facts


class LatestFacts:
    """Holds one picture, as facts and as a document. `facts`: None before the first."""

    def __init__(self, run_name: str) -> None:
        self.facts: run_facts.RunFacts | None = None
        self.document = latest_document.LatestDocument({"run": run_name, "state": "starting"})

    def publish(self, picture: Mapping[str, Any]) -> run_facts.RunFacts:
        """Take the place of the picture before, and wake who waits for one."""
        self.facts = run_facts.read_facts(picture)
        self.document.publish(picture)
        return self.facts
