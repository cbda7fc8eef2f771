"""ClickHouse's HTTP interface, as curl and other programs use it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from tests import holds

from polybackfill.store import client

SLOW = "SELECT sum(sleepEachRow(0.05)) FROM numbers(9999) SETTINGS max_block_size = 1"


class Curl:
    """Requests to one database of the running store."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, database: str, login: dict[str, str]
    ) -> None:
        self._session = session
        self._url = url
        self._database = database
        self._login = login

    async def __call__(
        self, query: str = "", *, body: bytes = b"", method: str = "POST", **more: Any
    ) -> tuple[int, bytes, dict[str, str]]:
        headers = self._login | more.pop("headers", {})
        params = {"database": self._database, **more, **({"query": query} if query else {})}
        async with self._session.request(
            method, self._url, params=params, data=body or None, headers=headers
        ) as response:
            return response.status, await response.read(), dict(response.headers)


@pytest_asyncio.fixture
async def curl(url: str, database: str, folder: Path) -> AsyncIterator[Curl]:
    async with aiohttp.ClientSession() as session:
        yield Curl(session, url, database, holds.login(folder))


@pytest_asyncio.fixture
async def table(store: client.Store) -> str:
    await store.command("CREATE TABLE numbers (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    return "numbers"


async def test_it_answers_a_ping(store: client.Store) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{store.url}ping") as response:
        assert await response.text() == "Ok.\n"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_query_in_the_url(curl: Curl, method: str) -> None:
    status, body, headers = await curl("SELECT 1, 'a'", method=method)
    assert (status, body) == (200, b"1\ta\n")
    assert headers["X-ClickHouse-Format"] == "TabSeparated"
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "1"


async def test_a_query_in_the_body_and_one_cut_in_two(curl: Curl) -> None:
    assert (await curl(body=b"SELECT 2;"))[1] == b"2\n"
    assert (await curl("SELECT 3", body=b"+ 4"))[1] == b"7\n"


async def test_the_format_comes_from_the_statement_the_parameter_or_the_header(curl: Curl) -> None:
    assert json.loads((await curl("SELECT 1 AS x FORMAT JSON"))[1])["data"] == [{"x": 1}]
    assert (await curl("SELECT 1 AS x", default_format="JSONEachRow"))[1] == b'{"x":1}\n'
    assert (await curl("SELECT 1", headers={"X-ClickHouse-Format": "CSV"}))[1] == b"1\n"
    _, body, headers = await curl("SELECT 1 AS x FORMAT TSVWithNames SETTINGS max_threads = 1")
    assert (body, headers["X-ClickHouse-Format"]) == (b"x\n1\n", "TSVWithNames")


async def test_headers_of_a_format_come_once_in_a_large_result(curl: Curl) -> None:
    _, body, _ = await curl("SELECT number FROM numbers(200000) FORMAT TSVWithNamesAndTypes")
    assert body.count(b"UInt64") == 1
    assert body.count(b"\n") == 200_002


async def test_settings_and_parameters_of_the_url(curl: Curl) -> None:
    sql = "SELECT getSetting('max_threads'), {who:String}, {n:UInt8}"
    _, body, _ = await curl(sql, max_threads="3", param_who="a\\tb", param_n="7")
    assert body == b"3\ta\\tb\t7\n"


async def test_a_setting_of_one_request_is_not_the_next_ones(curl: Curl) -> None:
    await curl("SELECT 1", max_threads="3")
    assert (await curl("SELECT getSetting('max_threads') = 3"))[1] == b"0\n"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("INSERT INTO numbers FORMAT JSONEachRow", b'{"a": 1, "s": "x"}\n{"a": 2, "s": "y"}'),
        ("INSERT INTO numbers (s, a) FORMAT TSV", b"x\t1\ny\t2\n"),
        ("INSERT INTO numbers VALUES", b"(1, 'x'), (2, 'y')"),
        ("INSERT INTO numbers", b"(1, 'x'), (2, 'y')"),
        ("INSERT INTO numbers SETTINGS max_threads = 1 FORMAT CSV", b'1,"x"\n2,"y"\n'),
        ("", b"INSERT INTO numbers VALUES (1, 'x'), (2, 'y')"),
        ("", b'INSERT INTO numbers FORMAT JSONEachRow\n{"a": 1, "s": "x"}{"a": 2, "s": "y"}'),
        ("", b'/* c */ insert into numbers (a, s) format CSV\n1,"x"\n2,"y"\n'),
        ("INSERT INTO numbers SELECT number + 1, ['x', 'y'][number + 1] FROM numbers(2)", b""),
    ],
)
async def test_every_way_to_insert(curl: Curl, table: str, query: str, body: bytes) -> None:
    status, answer, headers = await curl(query, body=body)
    assert (status, answer) == (200, b"")
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert (await curl(f"SELECT * FROM {table} ORDER BY a"))[1] == b"1\tx\n2\ty\n"


async def test_native_bytes_after_the_statement_arrive_untouched(curl: Curl, table: str) -> None:
    rows = "SELECT number AS a, concat(char(0), char(255), '\\n') AS s FROM numbers(3)"
    native = (await curl(rows, default_format="Native"))[1]
    await curl(body=b"INSERT INTO numbers FORMAT Native\n" + native)
    assert (await curl(f"SELECT count(), any(hex(s)) FROM {table}"))[1] == b"3\t00FF0A\n"


@pytest.mark.parametrize("in_url", [True, False])
async def test_gzip_in_and_out(curl: Curl, table: str, in_url: bool) -> None:
    statement, rows = "INSERT INTO numbers FORMAT CSV", b"".join(b"%d,x\n" % n for n in range(999))
    packed = gzip.compress(rows if in_url else statement.encode() + b"\n" + rows)
    status, answer, _ = await curl(
        statement if in_url else "", body=packed, headers={"Content-Encoding": "gzip"}
    )
    assert (status, answer) == (200, b"")
    _, body, headers = await curl(
        f"SELECT sum(a) FROM {table}",
        enable_http_compression="1",
        headers={"Accept-Encoding": "gzip"},
    )
    assert headers["Content-Encoding"] == "gzip"
    assert body == b"498501\n"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT nothing", 404, "47"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT {missing:UInt8}", 400, "456"),
    ],
)
async def test_an_error_has_a_status_a_code_and_a_text(
    curl: Curl, query: str, status: int, code: str
) -> None:
    found, body, headers = await curl(query)
    assert (found, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


async def test_an_unknown_database_or_setting_is_an_error(curl: Curl) -> None:
    assert (await curl("SELECT 1", database="nowhere"))[2]["X-ClickHouse-Exception-Code"] == "81"
    assert (await curl("SELECT 1", no_such="1"))[2]["X-ClickHouse-Exception-Code"] == "115"
    assert (await curl("SELECT 1", **{"a b": "1"}))[0] == 400
    assert (await curl("SELECT 1", compress="1"))[0] == 400


async def test_a_failing_row_refuses_the_batch(curl: Curl, table: str) -> None:
    status, body, _ = await curl("INSERT INTO numbers FORMAT CSV", body=b'1,"x"\nq,"y"\n')
    assert status == 400
    assert b"Code: 27." in body
    assert (await curl(f"SELECT count() FROM {table}"))[1] == b"0\n"


async def test_an_error_late_in_a_large_result_breaks_the_body_off(curl: Curl) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await curl("SELECT throwIf(number = 2500000), number FROM numbers(3000000)")


async def test_a_web_page_cannot_reach_it(curl: Curl) -> None:
    assert (await curl("SELECT 1", headers={"Origin": "https://example.com"}))[0] == 403
    assert (await curl("SELECT 1", headers={"Host": "rebound.example.com"}))[0] == 403
    for site in ("cross-site", "same-site", "same-origin"):
        assert (await curl("SELECT 1", headers={"Sec-Fetch-Site": site}))[0] == 403
    assert (await curl("SELECT 1", headers={"Sec-Fetch-Site": "none"}))[0] == 200


async def running(curl: Curl, query_id: str) -> bool:
    found = (
        f"SELECT count() FROM system.processes WHERE Settings['chdb_client_name'] = '{query_id}'"
    )
    return (await curl(found))[1] != b"0\n"


async def wait_for(met: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await met():  # noqa: ASYNC110 - the store announces nothing
            await asyncio.sleep(0.02)


async def test_a_client_that_leaves_ends_its_query(curl: Curl) -> None:
    leaving = asyncio.create_task(curl(SLOW, query_id="leaves"))
    await wait_for(lambda: running(curl, "leaves"))
    leaving.cancel()

    async def ended() -> bool:
        return not await running(curl, "leaves")

    await wait_for(ended)
    assert await ended()


async def test_an_id_can_be_used_again_but_not_twice_at_once(curl: Curl) -> None:
    slow = asyncio.create_task(curl("SELECT sleep(1)", query_id="mine"))
    await wait_for(lambda: running(curl, "mine"))
    assert (await curl("SELECT 1", query_id="mine"))[2]["X-ClickHouse-Exception-Code"] == "216"
    assert (await slow)[0] == 200
    assert (await curl("SELECT 1", query_id="mine"))[1] == b"1\n"


async def test_a_killed_query_says_so(curl: Curl) -> None:
    slow = asyncio.create_task(curl(SLOW, query_id="victim"))
    await wait_for(lambda: running(curl, "victim"))
    assert b"victim" in (await curl("KILL QUERY WHERE query_id = 'victim' SYNC"))[1]
    assert (await slow)[2]["X-ClickHouse-Exception-Code"] == "394"


async def test_an_insert_killed_before_it_arrived_is_refused(curl: Curl, table: str) -> None:
    assert (await curl("KILL QUERY WHERE query_id = 'late' SYNC"))[1] == b""
    status, _, headers = await curl(
        "INSERT INTO numbers FORMAT CSV", body=b'1,"x"\n', query_id="late"
    )
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "394")
    assert (await curl(f"SELECT count() FROM {table}"))[1] == b"0\n"
