"""A table of fetched rows: where they are inserted, where they arrive, and what people read."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill import records


@dataclass(frozen=True, slots=True)
class Digest:
    """What one number for a whole table is made of: `row`, SQL of one line of text for each row,
    of those rows that `where` says. `name`: what people call the rows.
    """

    name: str
    row: str
    where: str = "true"


@dataclass(frozen=True, slots=True)
class NotedCounts:
    """Counts of rows that have landed, in a table of their own: `rows`, SQL of their sum; `lost`, a
    SELECT of what is not all there: its name (`lost`), how many rows `landed`, and how many of
    these are `stored`. `name`: what people call the rows.
    """

    name: str
    table: str
    rows: str
    lost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    """One table.

    `rows`: the classes whose rows are inserted into `inserted`. `stored`: where they are kept;
    `grows`: it never holds fewer than before, whatever is merged; `version`: SQL of the newest tick
    among them, "" where rows have none. `shown`: what people read, in which no `key` comes twice.

    What is ingested is noted apart, so that a loss is seen: `noted_key` is SQL of a row's name in
    `ingested_keys`; `noted_counts`, how many there were.
    """

    rows: tuple[type[records.Row], ...]
    inserted: str
    stored: str
    shown: str
    key: str
    grows: bool = False
    version: str = ""
    digest: Digest | None = None
    noted_key: str = ""
    noted_counts: NotedCounts | None = None
