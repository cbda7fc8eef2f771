"""One HTTP request, read: its statement, its settings, its rows."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from chdb_http import engine, statement_guard, statements

# Content-Encoding → the engine's name of the method
_COMPRESSIONS = frozenset({"gzip", "deflate", "br", "zstd", "lz4", "snappy", "xz", "bz2"})
# Of somebody's tool: it leaves room to the inserts and waits for those under way (`priority`).
_GUEST = {"max_threads": str(max(1, (os.cpu_count() or 1) // 2)), "priority": "2"}
_LITERAL_VALUES = {
    "input_format_values_interpret_expressions": "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}


@dataclass(frozen=True)
class StatementRequest:
    """What a client wants. `rows` belongs to whoever runs the insert and is closed by him."""

    query: engine.Query
    insert: statements.Insert | None = None
    rows: engine.Spool | None = None
    compression: str | None = None
    wait_for_end: bool = False
    gzip: bool = False

    @property
    def only_reads(self) -> bool:
        """Nothing is lost when it is cancelled."""
        return statements.first_word(self.query.sql) in statements.READS

    @property
    def writes_rows(self) -> bool:
        """An INSERT with its rows in the SQL."""
        return statements.inserts_values(self.query.sql)


async def read_request(
    request: web.Request, query_id: str, opened: engine.Engine, *, own: bool
) -> StatementRequest:
    """Read the whole request. `own`: it comes from the program itself, not from somebody's tool.

    Raises ValueError for what this interface does not serve, EngineError for a body that cannot
    be unpacked, guard.Refused for what nobody may ask the engine.
    """
    params = dict(request.query)
    if request.content_type == "multipart/form-data":
        params.update({name: str(value) for name, value in (await request.post()).items()})
    _refuse_block_compression(params)
    compression = _compression(request.headers.get(hdrs.CONTENT_ENCODING, ""))
    sql = params.get("query", "")
    reader = _Reader(query_id, params, request, own)
    named = statements.data_insert(sql)
    if named is not None:
        query = reader.query(sql)
        rows = await _spooled(request, opened)
        return StatementRequest(_literal(query, named[0], rows), named[0], rows, compression)
    body = b"" if request.content_type == "multipart/form-data" else await request.read()
    if compression and body:
        body = await _unpacked(body, compression, opened)
    if not sql:
        embedded = _embedded_insert(body)
        if embedded is not None:
            insert, begins = embedded
            query = reader.query(body[:begins].decode())
            rows = opened.spool()
            rows.write(memoryview(body)[begins:])
            return StatementRequest(_literal(query, insert, rows), insert, rows)
    text = "\n".join(part for part in (sql, body.decode()) if part)
    return StatementRequest(
        reader.query(text),
        wait_for_end=params.get("wait_end_of_query") == "1",
        gzip=_wants_gzip(params, request.headers),
    )


def _embedded_insert(body: bytes) -> tuple[statements.Insert, int] | None:
    # latin-1 maps bytes to characters one to one: an index in the text is an index in the body.
    found = statements.data_insert(body[: statements.HEAD_BYTES].decode("latin-1"))
    if found is None:
        return None
    exact = statements.data_insert(body[: found[1]].decode())
    return (exact[0], found[1]) if exact else None


@dataclass(frozen=True)
class _Reader:
    """What surrounds the statement of a request."""

    query_id: str
    params: Mapping[str, str]
    request: web.Request
    own: bool

    def query(self, sql: str) -> engine.Query:
        """The statement as the engine gets it; raises guard.Refused."""
        parameters = statements.query_parameters(self.params)
        statement_guard.check(sql, parameters)
        headers = self.request.headers
        named = statements.settings(self.params)
        if not self.own:
            named = _GUEST | named
        if self.request.method != hdrs.METH_POST:
            statement_guard.require_reading(sql)
            named |= {"readonly": "1" if named.get("readonly") == "1" else "2"}
        return engine.Query(
            statements.with_where(sql),
            self.query_id,
            database=self.params.get("database")
            or headers.get("X-ClickHouse-Database")
            or "default",
            format=self.params.get("default_format")
            or headers.get("X-ClickHouse-Format")
            or "TabSeparated",
            settings=named,
            parameters=parameters,
        )


def _literal(query: engine.Query, insert: statements.Insert, rows: engine.Spool) -> engine.Query:
    """Rows of the format Values may be expressions, which nobody has checked: those that could
    reach a file are read as literals."""
    if insert.format.lower() != "values" or not statement_guard.names_function(rows.content()):
        return query
    if "input_format_values" in insert.settings:
        raise statement_guard.Refused(
            statement_guard.SUPPORT_IS_DISABLED, "the rows name a function of files"
        )
    return dataclasses.replace(query, settings={**query.settings, **_LITERAL_VALUES})


def _refuse_block_compression(params: Mapping[str, str]) -> None:
    if params.get("compress", "0") != "0" or params.get("decompress", "0") != "0":
        raise ValueError("ClickHouse's own block compression is not served; use Content-Encoding")


def _compression(encoding: str) -> str | None:
    if encoding in ("", "identity"):
        return None
    if encoding not in _COMPRESSIONS:
        raise ValueError(f"Content-Encoding {encoding!r} is not served")
    return encoding


def _wants_gzip(params: Mapping[str, str], headers: Mapping[str, str]) -> bool:
    accepted = headers.get(hdrs.ACCEPT_ENCODING, "")
    return params.get("enable_http_compression") == "1" and "gzip" in accepted


async def _spooled(request: web.Request, opened: engine.Engine) -> engine.Spool:
    rows = opened.spool()
    try:
        async for piece in request.content.iter_any():
            rows.write(piece)
    except BaseException:
        rows.close()
        raise
    return rows


async def _unpacked(body: bytes, compression: str, opened: engine.Engine) -> bytes:
    packed = opened.spool()
    try:
        packed.write(body)
        return await asyncio.to_thread(opened.unpack, packed, compression)
    finally:
        packed.close()
