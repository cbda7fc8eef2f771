"""The ClickHouse engine inside the store's child process. Nobody else imports chdb.

Four traps of chDB 26.9 shape this module (each has a test):

- `Session.send_insert` reports success when a materialized view, a constraint, a timeout or the
  disk fails *after* the rows were parsed. So rows are handed over as an anonymous file and read
  with `INSERT … FROM INFILE`, which reports every failure.
- Settings and the current database belong to a session, so each request gets its own; opening one
  costs about a millisecond. One spare session keeps the engine alive between requests.
- A streamed result repeats the header of its format in every chunk, so only formats without a
  header are streamed.
- Its database `default` is an Overlay, which cannot exchange two tables: a view that is replaced is
  gone for a moment. So the Atomic database below it takes its place.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import mmap
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chdb_http import durable_files, statement_guard, statements

# chDB loads pyarrow when it finds it, for result types that are not used here: 1 s and 60 MB.
sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]

from chdb import session  # noqa: E402

STREAMED = frozenset(
    {
        "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "JSONEachRow", "NDJSON",
        "JSONLines", "JSONCompactEachRow", "JSONStringsEachRow", "RowBinary", "Native",
        "LineAsString",
    }
)  # fmt: skip
_FILE_FORMATS = frozenset({"Parquet", "ORC", "Arrow", "ArrowStream", "Avro"})
_FILE_CHUNK_BYTES = 1 << 20
_DEFINING = frozenset({"ALTER", "CREATE", "DROP", "EXCHANGE", "RENAME", "UNDROP"})
_CODE = re.compile(r"Code: (\d+)\.")


_TICK_NS = 1_000_000_000  # a kernel's clock of file times advances at least so often
_MEMORY_PART = 0.4  # of the machine, for one query; beyond half of that, sorting goes to disk
CANCELLED = 394  # QUERY_WAS_CANCELLED


class Spool:
    """Bytes on their way into the engine, which reads them as a file: in memory where Linux offers
    that, else a file without a name to clean up."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("rows")
            self.path = f"/proc/self/fd/{self._descriptor}"
            self._named = False
        else:
            self._descriptor, self.path = tempfile.mkstemp(dir=folder)
            self._named = True

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece."""
        view = memoryview(piece)
        while view:
            written = os.write(self._descriptor, view)
            self.size += written
            view = view[written:]

    def content(self) -> memoryview:
        """Everything written so far."""
        return (
            memoryview(mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ))
            if self.size
            else memoryview(b"")
        )

    def close(self) -> None:
        """Give the memory or the file back."""
        os.close(self._descriptor)
        if self._named:
            os.unlink(self.path)


class EngineError(Exception):
    """The engine refused a statement: `code` is ClickHouse's number, the text names the cause."""

    def __init__(self, message: str) -> None:
        found = _CODE.search(message)
        # chDB puts words of its own before the text a server would send.
        super().__init__(message[found.start() :] if found else message)
        self.code = int(found.group(1)) if found else 1001  # STD_EXCEPTION


def refused(code: int, message: str) -> EngineError:
    """An error of ours, worded like the engine's."""
    return EngineError(f"Code: {code}. DB::Exception: {message}")


@dataclass(frozen=True)
class Query:
    """One statement with its surroundings. `query_id` is the caller's, not the engine's own."""

    sql: str
    query_id: str
    database: str = "default"
    format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """What a statement read and wrote."""

    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    bytes_written: int = 0


class Engine:
    """One data folder, opened by this process alone. Methods block: call them from threads."""

    def __init__(self, folder: Path, path: str) -> None:
        """`path`: of the engine's data, from the working directory (see `engine_config`).

        Raises EngineError when the folder cannot be opened.
        """
        self._path = path
        self._metadata = folder / "engine" / "metadata"
        self._spool = folder / "spool"
        self._synced: dict[str, int] = {}  # database → when its folder was changed last
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._defaults = {
            "implicit_select": "0",  # `hello` is a syntax error, as on a server
            "max_memory_usage": str(int(memory_bytes * _MEMORY_PART)),
        }
        with _reported():
            self._spare = session.Session(self._path)
            self._uncover(self._metadata / "default.sql")
            self._spool.mkdir(exist_ok=True)
            for left_over in self._spool.iterdir():
                left_over.unlink()

    def _uncover(self, definition: Path) -> None:
        """Put the Atomic database, which keeps the tables, in the place of the Overlay."""
        # The Overlay bears its id, found by the tables' folder, or a new one while there are none.
        found = self._spare.query("SELECT uuid FROM system.databases WHERE name = 'default'", "TSV")
        uuid = bytes(found.bytes()).decode().strip()
        definition.parent.mkdir(exist_ok=True)
        draft = definition.with_suffix(".draft")
        content = f"ATTACH DATABASE _ UUID '{uuid}'\nENGINE = Atomic\n"
        durable_files.write_synced(
            draft, content.encode()
        )  # or a power cut may leave one of no bytes
        draft.replace(definition)
        durable_files.sync_folder(definition.parent)
        self._spare.query("DETACH DATABASE default")
        self._spare.query("ATTACH DATABASE default")

    def close(self) -> None:
        """Write out what is in memory and let go of the folder."""
        self._spare.close()

    def execute(self, query: Query) -> tuple[bytes, Counts]:
        """Run any statement to its end and return its whole result."""
        with self._session(query) as opened, _reported():
            result = opened.query(query.sql, query.format, params=dict(query.parameters))
        if statements.first_word(query.sql) in _DEFINING:
            self._sync_definitions()
        return _output(result)

    def _sync_definitions(self) -> None:
        """The engine syncs the file of a definition, but not the folder that names it."""
        for database in self._metadata.iterdir():
            if not database.is_dir():
                continue
            changed_ns = database.stat().st_mtime_ns
            if changed_ns == self._synced.get(database.name):
                continue
            durable_files.sync_folder(database)
            # Of two changes within a tick of the kernel's clock the folder shows one time.
            if changed_ns + _TICK_NS < time.time_ns():
                self._synced[database.name] = changed_ns

    def select(self, query: Query, emit: Callable[[bytes], None]) -> Counts:
        """Run a statement and hand its result to `emit` piece by piece, as it comes."""
        result_format = statements.output_format(query.sql, query.format)
        reads = statements.first_word(query.sql) in ("SELECT", "WITH")
        if reads and result_format in STREAMED:
            return self._stream(query, emit)
        if reads and result_format in _FILE_FORMATS:
            return self._spooled(query, result_format, emit)
        output, counts = self.execute(query)
        emit(output)
        return counts

    def insert(
        self, query: Query, insert: statements.Insert, rows: Spool, compression: str | None
    ) -> Counts:
        """Insert the rows of `rows`; every failure raises."""
        sql = insert.from_file(rows.path, compression)
        with self._session(query) as opened, _reported():
            _, counts = _output(opened.query(sql, "TabSeparated"))
            return counts

    def kill(self, query_id: str) -> None:
        """Cancel the running statement of that caller's id, without waiting for its end."""
        named = statements.quoted(query_id)
        self.execute(
            Query(f"KILL QUERY WHERE Settings['{statement_guard.MARK}'] = {named} ASYNC", "")
        )

    def unpack(self, packed: Spool, compression: str) -> bytes:
        """The content of `packed`, which is compressed with a method ClickHouse knows."""
        insert = statements.Insert("INSERT INTO unpacked", "", "RawBLOB")
        with self._session(Query("", "")) as opened, _reported():
            opened.query("CREATE TEMPORARY TABLE unpacked (body String) ENGINE = Memory")
            opened.query(insert.from_file(packed.path, compression))
            return _output(opened.query("SELECT body FROM unpacked", "RawBLOB"))[0]

    def spool(self) -> Spool:
        """Room for the rows of one insert."""
        return Spool(self._spool)

    def _stream(self, query: Query, emit: Callable[[bytes], None]) -> Counts:
        with self._session(query) as opened, _reported():
            stream = opened.send_query(query.sql, query.format, params=dict(query.parameters))
            rows = size = 0
            with stream:
                for chunk in stream:
                    rows, size = rows + chunk.rows_read(), size + chunk.bytes_read()
                    emit(bytes(chunk.bytes()))
            return Counts(rows_read=rows, bytes_read=size)

    def _spooled(self, query: Query, result_format: str, emit: Callable[[bytes], None]) -> Counts:
        with tempfile.TemporaryDirectory(dir=self._spool) as folder:
            path = Path(folder) / "result"
            sql = statements.into_file(query.sql, str(path), result_format)
            with self._session(query) as opened, _reported():
                _, counts = _output(opened.query(sql, "Null", params=dict(query.parameters)))
            with path.open("rb") as result:
                while piece := result.read(_FILE_CHUNK_BYTES):
                    emit(piece)
            return counts

    @contextmanager
    def _session(self, query: Query) -> Iterator[session.Session]:
        with _reported():
            opened = session.Session(self._path)
        try:
            with _reported():
                self._prepare(opened, query)
            yield opened
        finally:
            opened.close()

    def _prepare(self, opened: session.Session, query: Query) -> None:
        wanted = {**self._defaults, **query.settings, statement_guard.MARK: query.query_id}
        pairs = ", ".join(f"{name} = {statements.quoted(value)}" for name, value in wanted.items())
        opened.query(f"SET {pairs}")
        if query.database != "default":
            name = query.database.replace("\\", "\\\\").replace("`", "\\`")
            opened.query(f"USE `{name}`")


def _output(result: object) -> tuple[bytes, Counts]:
    # An empty result comes back as a plain string.
    if isinstance(result, str):
        return result.encode(), Counts()
    read = getattr(result, "bytes")  # noqa: B009 - chdb ships no types
    counts = Counts(
        rows_read=result.rows_read(),  # type: ignore[attr-defined]
        bytes_read=result.bytes_read(),  # type: ignore[attr-defined]
        rows_written=result.rows_written(),  # type: ignore[attr-defined]
        bytes_written=result.bytes_written(),  # type: ignore[attr-defined]
    )
    return bytes(read()), counts


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # chdb.ChdbError is one
        raise EngineError(str(error)) from error
