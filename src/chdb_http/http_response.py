"""HTTP responses as a ClickHouse server writes them."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from aiohttp import web

from chdb_http import engine, http_request, statements

# Statuses of a ClickHouse server, by error code (its HTTPHandler, read 2026-11); the rest is 500.
_BAD_REQUEST = frozenset({6, 26, 27, 36, 38, 41, 42, 43, 53, 62, 72, 117, 130, 131, 456, 457})
_FORBIDDEN = frozenset({164, 497, 516})  # READONLY, ACCESS_DENIED, AUTHENTICATION_FAILED
_NOT_FOUND = frozenset({16, 46, 47, 50, 56, 60, 63, 73, 81, 115})

_CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSVWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
}


def headers(
    statement: http_request.StatementRequest, counts: engine.Counts | None
) -> dict[str, str]:
    """The X-ClickHouse-* headers; the summary only when the counts are known already."""
    found = {
        "X-ClickHouse-Query-Id": statement.query.query_id,
        "X-ClickHouse-Server-Display-Name": "polybackfill",
        "X-ClickHouse-Timezone": "UTC",
    }
    if counts is not None:
        found["X-ClickHouse-Summary"] = orjson.dumps(_summary(counts)).decode()
    return found


def complete_response(
    statement: http_request.StatementRequest, body: bytes, counts: engine.Counts
) -> web.Response:
    """A result that is complete."""
    response = web.Response(body=body, headers={**_format(statement), **headers(statement, counts)})
    if statement.gzip:
        response.enable_compression(web.ContentCoding.gzip)
    return response


def begin_stream(statement: http_request.StatementRequest) -> web.StreamResponse:
    """The beginning of a result that is still being made."""
    response = web.StreamResponse(headers={**_format(statement), **headers(statement, None)})
    if statement.gzip:
        response.enable_compression(web.ContentCoding.gzip)
    return response


def error_response(error: engine.EngineError, query_id: str) -> web.Response:
    """An error, with the status a server would give it."""
    status = 500
    if error.code in _BAD_REQUEST:
        status = 400
    elif error.code in _NOT_FOUND:
        status = 404
    elif error.code in _FORBIDDEN:
        status = 403
    return web.Response(
        text=f"{error}\n",
        status=status,
        headers={
            "X-ClickHouse-Exception-Code": str(error.code),
            "X-ClickHouse-Query-Id": query_id,
        },
    )


def _format(statement: http_request.StatementRequest) -> Mapping[str, str]:
    name = statements.output_format(statement.query.sql, statement.query.format)
    return {
        "X-ClickHouse-Format": name,
        "Content-Type": _CONTENT_TYPES.get(name, "application/octet-stream"),
    }


def _summary(counts: engine.Counts) -> dict[str, str]:
    return {
        "read_rows": str(counts.rows_read),
        "read_bytes": str(counts.bytes_read),
        "written_rows": str(counts.rows_written),
        "written_bytes": str(counts.bytes_written),
    }
