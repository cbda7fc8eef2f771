"""Parts that a person has paused: a small file beside the status file, read once a second.

A pause lasts until it is taken back, also over a restart. Workers of a paused part finish the unit
in their hands and take no other.
"""

from __future__ import annotations

from polybackfill import settings
from polybackfill.run import name_file


class PausedParts:
    """The kinds that are paused, as of the last `read`."""

    def __init__(self, chosen: settings.Settings) -> None:
        backfill = chosen.backfill
        self._file = name_file.NameFile(
            backfill.data_dir / "status" / f"{backfill.run_name}.paused.json",
            "paused parts",
            "let all parts go on",
        )
        self.kinds: frozenset[str] = frozenset()

    def read(self) -> None:
        """Look at the file. One that cannot be read changes nothing; it is logged once."""
        if (kinds := self._file.look("paused.unreadable")) is not None:
            self.kinds = kinds

    def describe(self) -> str | None:
        """What waits for a person; None when nothing is paused."""
        if not self.kinds:
            return None
        return f"a person, who has paused {', '.join(sorted(self.kinds))}"

    def pause(self, kind: str) -> None:
        """From now on no worker takes a unit of this kind. Raises errors.Stop."""
        self.kinds = self._file.change(lambda kinds: kinds | {kind})

    def resume(self, kind: str) -> None:
        """Take a pause back. Raises errors.Stop."""
        self.kinds = self._file.change(lambda kinds: kinds - {kind})
