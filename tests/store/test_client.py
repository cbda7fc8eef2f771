"""The store's client: statements, results, and what errors become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pydantic
import pytest
import pytest_asyncio
from aiohttp import web
from tests import holds

from polybackfill import clocks, errors
from polybackfill.store import client, error_codes


async def test_rows_are_dicts_with_numbers_text_and_none(store: client.Store) -> None:
    sql = "SELECT toUInt64(18446744073709551615) AS big, 'x' AS name, NULL AS nothing;"
    assert await store.rows(sql) == [{"big": 2**64 - 1, "name": "x", "nothing": None}]


@pytest.mark.parametrize(
    "text", ["plain", "it's", "back\\slash", "tab\there", "line\nbreak", "{brace}", "é€😀", ""]
)
async def test_parameters_carry_any_text(store: client.Store, text: str) -> None:
    sql = "SELECT {one:String} AS one, {many:Array(String)} AS many, {n:Int64} AS n"
    (row,) = await store.rows(sql, parameters={"one": text, "many": [text, "b"], "n": -3})
    assert row == {"one": text, "many": [text, "b"], "n": -3}


async def test_statements_that_do_not_begin_with_select_have_rows_too(store: client.Store) -> None:
    await store.command("CREATE TABLE named (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert await store.rows("SHOW TABLES") == [{"name": "named"}]
    assert await store.rows("WITH 1 AS x SELECT x") == [{"x": 1}]
    assert await store.rows("(SELECT 1 AS x) UNION ALL (SELECT 1 AS x)") == [{"x": 1}] * 2


async def test_a_statement_longer_than_the_parser_likes_is_sent_all_the_same(
    store: client.Store,
) -> None:
    numbers = ", ".join(map(str, range(20_000)))
    assert await store.rows(
        f"SELECT count() AS n FROM numbers(30000) WHERE number IN ({numbers})"
    ) == [{"n": 20_000}]


async def test_a_large_result_streams_in_bounded_pieces(store: client.Store) -> None:
    pieces = [len(piece) async for piece in store.stream("SELECT number FROM numbers(3000000)")]
    assert sum(pieces) == sum(len(str(number)) + 1 for number in range(3_000_000))
    assert max(pieces) < 8_000_000


async def test_a_parquet_file_is_whole(store: client.Store) -> None:
    body = await store.text("SELECT number FROM numbers(500000)", "Parquet")
    assert body[:4] == body[-4:] == b"PAR1"


@pytest.mark.embedded  # a server's error stands behind rows, all of which are in the message
async def test_a_result_that_breaks_off_is_not_taken_for_the_whole(store: client.Store) -> None:
    with pytest.raises(errors.Retry):
        await store.text("SELECT throwIf(number = 2500000) FROM numbers(3000000)")


async def test_an_unknown_table_stops_and_names_the_remedy(store: client.Store) -> None:
    with pytest.raises(errors.Stop, match="polybackfill init"):
        await store.rows("SELECT * FROM nowhere")


@pytest.mark.embedded  # a server words the mistake otherwise
async def test_a_mistake_in_the_sql_is_nobodys_retry(store: client.Store) -> None:
    with pytest.raises(errors.GiveUp, match="Syntax error"):
        await store.command("ALTER TABLE")


async def test_a_batch_without_rows_or_too_large_is_refused(store: client.Store) -> None:
    for rows in (0, client.MAX_BATCH_ROWS + 1):
        with pytest.raises(ValueError, match="rows"):
            await store.insert("anything", b"", rows=rows)


async def test_queries_run_side_by_side(store: client.Store) -> None:
    began_at = asyncio.get_running_loop().time()
    await asyncio.gather(*(store.rows("SELECT sleep(0.5) AS slept") for _ in range(4)))
    assert asyncio.get_running_loop().time() - began_at < 1.5


# -- a server elsewhere ---------------------------------------------------------------------------


def server(port: int, **changes: object) -> client.Address:
    return client.Address(host="127.0.0.1", port=port, **changes)  # type: ignore[arg-type]


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].rstrip("/"))


async def test_a_server_is_used_like_the_embedded_store(
    url: str, database: str, folder: Path
) -> None:
    password = pydantic.SecretStr(holds.password_of(folder))
    address = server(port_of(url), database=database, password=password)
    opened = await client.open(address, clock=clocks.SystemClock())
    await opened.command("CREATE TABLE there (a UInt8) ENGINE = MergeTree ORDER BY a")
    await opened.insert("there", b'{"a": 1}\n{"a": 2}\n', rows=2)
    assert await opened.rows("SELECT sum(a) AS total FROM there") == [{"total": 3}]
    assert opened.stats() == {"inserts": 1, "rows_inserted": 2}
    await opened.close()


async def test_an_unknown_database_stops_and_names_everything(url: str, folder: Path) -> None:
    password = pydantic.SecretStr(holds.password_of(folder))
    address = server(port_of(url), database="missing", password=password)
    with pytest.raises(errors.Stop) as raised:
        await client.open(address, clock=clocks.SystemClock())
    for part in ("127.0.0.1", str(port_of(url)), "'missing'", "'default'", "CLICKHOUSE_DATABASE"):
        assert part in str(raised.value)


async def test_a_port_where_nobody_listens_is_a_retry(unused_port: int) -> None:
    with pytest.raises(errors.Retry, match="No connection"):
        await client.open(server(unused_port), clock=clocks.SystemClock())


@pytest_asyncio.fixture
async def unused_port() -> int:
    listening = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    return port


@pytest_asyncio.fixture
async def refusing_port() -> AsyncIterator[int]:
    """A server that refuses every password and shows what it was sent."""

    async def refuse(request: web.Request) -> web.Response:
        assert request.headers["X-ClickHouse-Key"] == "hush"
        assert "hush" not in str(request.url)
        text = "Code: 516. DB::Exception: daemon: Authentication failed. (AUTHENTICATION_FAILED)"
        return web.Response(status=403, text=text)

    app = web.Application()
    app.router.add_route("*", "/", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_a_refused_password_stops_and_is_not_repeated(refusing_port: int) -> None:
    address = server(refusing_port, user="daemon", password=pydantic.SecretStr("hush"))
    with pytest.raises(errors.Stop, match="CLICKHOUSE_PASSWORD") as raised:
        await client.open(address, clock=clocks.SystemClock())
    assert "hush" not in f"{raised.value!r} {address!r}"


def test_ports_and_tls_follow_clickhouse() -> None:
    assert client.Address(host="h").server_port == 8123
    assert client.Address(host="h", secure=True).server_port == 8443
    assert client.Address(host="h", port=8443).tls
    assert not client.Address(host="h", port=8443, secure=False).tls


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Code: 516. DB::Exception: x: Authentication failed", errors.Stop),
        ("Code: 497. DB::Exception: Not enough privileges", errors.Stop),
        ("Code: 192. DB::Exception: Unknown user", errors.Stop),
        ("Code: 81. DB::Exception: Database x does not exist", errors.Stop),
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space", errors.Stop),
        ("Code: 1001. DB::Exception: std: No space left on device", errors.Stop),
        ("Code: 60. DB::Exception: Table x does not exist", errors.Stop),
        ("Code: 252. DB::Exception: Too many parts", errors.Retry),
        ("Code: 241. DB::Exception: Memory limit exceeded", errors.Retry),
        ("Code: 202. DB::Exception: Too many simultaneous queries", errors.Retry),
        ("Code: 159, e.displayText() = DB::Exception: Timeout exceeded", errors.Retry),
        ("<html>502 Bad Gateway</html>", errors.Retry),
        ("Code: 27. DB::Exception: Cannot parse input", errors.GiveUp),
        ("Code: 201. DB::Exception: Quota for user has been exceeded", errors.Retry),
        ("Code: 452. DB::Exception: Setting final should not be changed", errors.Stop),
        ("Code: 392. DB::Exception: DDL queries are prohibited", errors.Stop),
        ("Code: 1001. DB::Exception: std::filesystem: Input/output error", errors.Retry),
        ("Code: 74. DB::ErrnoException: Cannot read: , errno: 5, strerror: …", errors.Retry),
    ],
)
def test_the_code_in_the_text_decides_the_class(
    text: str, kind: type[errors.BackfillError]
) -> None:
    found = error_codes.classify(text, location="h:8123", user="u", database="d")
    assert type(found) is kind
    assert "h:8123" in str(found)


def test_a_keeper_that_is_away_is_named() -> None:
    text = "Code: 999. DB::Exception: All connection tries failed while connecting to ZooKeeper"
    away = error_codes.classify(text, location="h:8123", user="u", database="d")
    assert isinstance(away, errors.Retry)
    assert str(away).startswith("The Keeper of the store at h:8123 does not answer")


def test_only_the_database_of_the_settings_is_to_be_set_otherwise() -> None:
    def said(name: str) -> str:
        text = f"Code: 81. DB::Exception: Database {name} does not exist. Maybe you meant d?"
        return str(error_codes.classify(text, location="h:8123", user="u", database="d"))

    assert "CLICKHOUSE_DATABASE" in said("d")
    assert "CLICKHOUSE_DATABASE" in said("`d`")
    assert "CLICKHOUSE_DATABASE" not in said("x")


def test_an_address_names_its_place() -> None:
    assert client.Address(data_dir=Path("somewhere")).location == "somewhere"
    assert client.Address(host="h", port=9).location == "h:9"
