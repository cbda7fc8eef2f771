"""What the embedded engine reaches beyond its own folder: nothing, whoever asks and however."""

from __future__ import annotations

import gzip
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests import holds

from chdb_http import endpoint_file, landlock, statement_guard
from polybackfill.store import client

PRIVATE = "the user's private key"


class Outside:
    """A file of the user, and two ports that note whoever comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "id_rsa"
        self.file.write_text(PRIVATE + "\n")
        self.visits: list[str] = []
        visits = self.visits

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                visits.append("http")
                super().handle_one_request()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"1\n")

            do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.web.server_port}/bucket"
        self.plain = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.plain.getsockname()[1]}"
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                visitor, _ = self.plain.accept()
            except OSError:
                return
            self.visits.append("tcp")
            visitor.close()

    def fill(self, statement: str) -> str:
        """`$FILE`, `$DIR`, `$URL` and `$HOST` of a statement."""
        words = {"$FILE": self.file, "$DIR": self.folder, "$URL": self.url, "$HOST": self.address}
        for word, value in words.items():
            statement = statement.replace(word, str(value))
        return statement


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    made = Outside(tmp_path_factory.mktemp("outside"))
    yield made
    made.web.shutdown()
    made.web.server_close()
    made.plain.close()


READING_FILES = r"""
SELECT * FROM file('$FILE', LineAsString)
SELECT file('$FILE')
SELECT "file"('$FILE')
SELECT `file`('$FILE')
SELECT "fi\x6ce"('$FILE')
SELECT “file”('$FILE')
SELECT file /* of /* the */ user */ ('$FILE')
SELECT * APPLY(file) FROM (SELECT '$FILE')
SELECT * APPLY file FROM (SELECT '$FILE')
SELECT arrayMap(file, ['$FILE'])
WITH '$FILE' AS path SELECT file(path)
SELECT * FROM eval('SELECT file(''$FILE'')') SETTINGS allow_experimental_eval_table_function = 1
SELECT 1 SETTINGS additional_result_filter = 'throwIf(1, file(''$FILE''))'
SELECT 1 FORMAT Template SETTINGS format_template_resultset = '$FILE'
SELECT 1 FORMAT Template SETTINGS format_template_row = '$FILE'
SELECT 1 AS a FORMAT Protobuf SETTINGS format_schema = '$FILE:M'
SELECT 1 AS a FORMAT CapnProto SETTINGS format_schema = '$FILE:M'
SELECT * FROM `$FILE`
SELECT * FROM fileCluster('default', '$FILE', LineAsString)
SELECT * FROM filesystem('$DIR')
SELECT * FROM url('file://$FILE', LineAsString)
SELECT * FROM sqlite('$FILE', 't')
SELECT * FROM icebergLocal('$DIR')
SELECT * FROM deltaLakeLocal('$DIR')
SELECT * FROM loop(file('$FILE', LineAsString)) LIMIT 1
SELECT * FROM view(SELECT * FROM file('$FILE', LineAsString))
DESCRIBE file('$FILE')
EXPLAIN PIPELINE SELECT * FROM file('$FILE', LineAsString)
INSERT INTO kept FROM INFILE '$FILE' FORMAT LineAsString
INSERT INTO kept FROM/**/INFILE '$FILE' FORMAT LineAsString
INSERT INTO kept VALUES (file('$FILE'))
CREATE TABLE door (x String) ENGINE = File(LineAsString, '$FILE')
CREATE TABLE door (x String) ENGINE File(LineAsString, '$FILE')
CREATE TABLE door (x String) ENGINE = FileLog('$DIR', 'LineAsString')
CREATE TABLE door (x String DEFAULT file('$FILE')) ENGINE = Memory
CREATE TABLE door AS file('$FILE', LineAsString)
CREATE VIEW door AS SELECT file('$FILE')
CREATE VIEW door AS SELECT * FROM file('$FILE', LineAsString)
CREATE MATERIALIZED VIEW door TO kept AS SELECT * FROM file('$FILE', LineAsString)
CREATE DATABASE door ENGINE = Filesystem('$DIR')
CREATE DATABASE door ENGINE = "Filesystem"('$DIR')
CREATE DATABASE door ENGINE = SQLite('$FILE')
CREATE DATABASE door ENGINE = Backup('default', Disk('default', 'x'))
CREATE DICTIONARY door (k UInt64) PRIMARY KEY k SOURCE(FILE(PATH '$FILE' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(0)
ATTACH TABLE door FROM '$DIR' (x String) ENGINE = MergeTree ORDER BY x
RESTORE TABLE kept AS door FROM File('$DIR/backup')
"""  # noqa: E501
WRITING_FILES = r"""
SELECT 'seized' INTO OUTFILE '$DIR/seized'
SELECT 'seized' into/* x */outfile '$DIR/seized'
SELECT 'seized' INTO OUTFILE '$DIR/seized' AND STDOUT
SELECT 'seized' INTO -- x
OUTFILE '$DIR/seized' TRUNCATE FORMAT Parquet
INSERT INTO FUNCTION file('$DIR/seized', TSV, 'x String') SELECT 'seized'
BACKUP TABLE kept TO File('$DIR/seized')
BACKUP TABLE kept TO Disk('default', 'seized')
CREATE TABLE door (x String) ENGINE = EmbeddedRocksDB(0, '$DIR/seized') PRIMARY KEY x
CREATE TABLE door (x String) ENGINE = MergeTree ORDER BY x SETTINGS disk = disk(type = 'local', path = '$DIR/seized/')
CREATE TABLE door (x String) ENGINE = Log SETTINGS disk = disk(type = 'local', path = '$DIR/seized/')
ALTER TABLE kept MODIFY SETTING disk = disk(type = 'local', path = '$DIR/seized/')
SELECT * FROM format(TSV, 'a UInt8', 'x') SETTINGS input_format_allow_errors_num = 5, input_format_record_errors_file_path = '$DIR/seized'
SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '$DIR/seized', format_protobuf_use_autogenerated_schema = 1
"""  # noqa: E501
OTHER_HOSTS = r"""
SELECT * FROM url('$URL', LineAsString)
INSERT INTO FUNCTION url('$URL', LineAsString, 'x String') SELECT 'a'
SELECT * FROM s3('$URL/key', NOSIGN, LineAsString, 'x String')
SELECT * FROM remote('$HOST', system.one)
SELECT * FROM remoteSecure('$HOST', system.one)
SELECT * FROM cluster('default', system.one)
SELECT * FROM mysql('$HOST', 'a', 'b', 'c', 'd')
SELECT * FROM postgresql('$HOST', 'a', 'b', 'c', 'd')
SELECT * FROM mongodb('$HOST', 'a', 'b', 'c', 'd', 'x String')
SELECT * FROM redis('$HOST', 'a', 'a String')
SELECT * FROM azureBlobStorage('$URL', 'c', 'p', 'n', 'k', TSV, 'auto', 'a String')
SELECT * FROM hdfs('hdfs://$HOST/x', TSV, 'a String')
SELECT * FROM arrowFlight('$HOST', 'd')
SELECT * FROM format(AvroConfluent, unhex('0000000001')) SETTINGS format_avro_schema_registry_url = '$URL'
CREATE TABLE door (x String) ENGINE = URL('$URL', TSV)
CREATE TABLE door (x String) ENGINE = S3('$URL/key', NOSIGN, TSV)
CREATE TABLE door (x String) ENGINE = MySQL('$HOST', 'a', 'b', 'c', 'd')
CREATE TABLE door (x String) ENGINE = PostgreSQL('$HOST', 'a', 'b', 'c', 'd')
CREATE TABLE door (x String) ENGINE = Kafka('$HOST', 't', 'g', 'TSV')
CREATE TABLE door (x String) ENGINE = Redis('$HOST') PRIMARY KEY x
CREATE TABLE door (x UInt8) ENGINE = Distributed('default', 'default', 'kept')
CREATE TABLE door (x String) ENGINE = MergeTree ORDER BY x SETTINGS disk = disk(type = 'web', endpoint = '$URL/')
CREATE DATABASE door ENGINE = MySQL('$HOST', 'a', 'b', 'c')
CREATE DATABASE door ENGINE = PostgreSQL('$HOST', 'a', 'b', 'c')
CREATE DATABASE door ENGINE = S3('$URL')
CREATE DATABASE door ENGINE = Remote('$HOST', 'default')
CREATE DATABASE IF NOT EXISTS door ON CLUSTER x ENGINE = MySQL('$HOST', 'a', 'b', 'c')
CREATE DICTIONARY door (k UInt64) PRIMARY KEY k SOURCE(HTTP(URL '$URL' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(0)
CREATE MATERIALIZED VIEW door REFRESH EVERY 1 SECOND TO kept AS SELECT * FROM url('$URL', LineAsString)
CREATE NAMED COLLECTION door AS url = '$URL'
BACKUP TABLE kept TO S3('$URL/key', 'a', 'b')
"""  # noqa: E501
PROGRAMS = r"""
SELECT * FROM executable('id.sh', TSV, 'x String')
CREATE TABLE door (x String) ENGINE = Executable('id.sh', TSV)
CREATE TABLE door (x String) ENGINE = ExecutablePool('id.sh', TSV)
CREATE DICTIONARY door (k UInt64) PRIMARY KEY k SOURCE(EXECUTABLE(COMMAND 'id' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(0)
SELECT * FROM python('os')
SELECT * FROM Python(os)
SELECT * FROM arrowstream(1)
SYSTEM START LISTEN HTTP
SYSTEM SHUTDOWN
SYSTEM KILL
CREATE USER door
GRANT ALL ON *.* TO default
SET dialect = 'polyglot'
SELECT 1 SETTINGS os_threads_nice_value_query = 10
SELECT 1; SELECT 2
"""  # noqa: E501


def statements(text: str) -> list[str]:
    """One a line; a line that does not begin with a verb goes on with the one before."""
    found: list[str] = []
    for line in text.strip().splitlines():
        if line.startswith("OUTFILE"):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


@pytest.mark.parametrize("doors", [READING_FILES, WRITING_FILES, OTHER_HOSTS, PROGRAMS])
async def test_every_door_is_shut(
    doors: str, store: client.Store, folder: Path, database: str, outside: Outside
) -> None:
    """Whoever has the secret may read and change tables, and reaches nothing else with them."""
    await store.command("CREATE TABLE kept (x String) ENGINE = MergeTree ORDER BY x")
    before = sorted(os.listdir(outside.folder))
    async with aiohttp.ClientSession(headers=holds.login(folder)) as session:
        for statement in map(outside.fill, statements(doors)):
            async with session.post(
                store.url, params={"database": database}, data=statement.encode()
            ) as response:
                said = await response.text()
            assert response.status >= 400, statement
            assert PRIVATE not in said, statement
            assert sorted(os.listdir(outside.folder)) == before, statement
    assert await store.rows("SELECT * FROM kept") == []
    assert outside.visits == []


async def test_rows_that_are_expressions_open_no_file(
    store: client.Store, folder: Path, database: str, outside: Outside
) -> None:
    await store.command("CREATE TABLE kept (x String) ENGINE = MergeTree ORDER BY x")
    rows = f"(file('{outside.file}'))".encode()
    async with aiohttp.ClientSession(headers=holds.login(folder)) as session:
        for query in ("INSERT INTO kept VALUES", "INSERT INTO kept FORMAT Values"):
            params = {"database": database, "query": query}
            async with session.post(store.url, params=params, data=rows) as response:
                assert response.status >= 400
            literal = {"database": database, "query": query}
            async with session.post(store.url, params=literal, data=b"('my file')") as response:
                assert response.status == 200
    assert [row["x"] for row in await store.rows("SELECT * FROM kept")] == ["my file", "my file"]


NAMED_BY_PARAMETERS = r"""
SELECT arrayMap({f:Identifier}, ['$FILE'])
SELECT arrayMap({ f /* x */ : Identifier }, ['$FILE'])
SELECT arrayMap({"f":Identifier}, ['$FILE'])
SELECT arrayMap({`f`:`Identifier`}, ['$FILE'])
SELECT arrayMap({g:Identifier}, ['$FILE'])
SELECT arrayMap({h:Identifier}, ['$FILE'])
SELECT arrayMap({i:Identifier}, ['$FILE']) SETTINGS param_i = 'file'
SELECT {f:Identifier}('$FILE')
SELECT * FROM {f:Identifier}('$FILE', LineAsString)
SELECT * FROM {u:Identifier}('$URL', LineAsString)
INSERT INTO kept SELECT arrayJoin(arrayMap({f:Identifier}, ['$FILE']))
ALTER TABLE kept ADD COLUMN y Array(String) DEFAULT arrayMap({f:Identifier}, ['$FILE'])
CREATE VIEW door AS SELECT arrayMap({i:Identifier}, ['$FILE'])
CREATE OR REPLACE VIEW door AS SELECT arrayMap({f:Identifier}, ['$FILE'])
CREATE MATERIALIZED VIEW door TO kept AS SELECT arrayJoin(arrayMap({f:Identifier}, [x])) AS x FROM kept
SELECT * FROM door(f = 'file')
"""  # noqa: E501


async def test_a_parameter_names_no_function_of_files(
    store: client.Store, folder: Path, database: str, outside: Outside
) -> None:
    """Also where the kernel has no Landlock; one that names a column or a table is served."""
    await store.command("CREATE TABLE kept (x String) ENGINE = MergeTree ORDER BY x")
    named = {"f": "file", "g": "`File`", "h": r"fil\x65", "u": "url"}
    params = {"database": database, **{f"param_{name}": value for name, value in named.items()}}
    async with aiohttp.ClientSession(headers=holds.login(folder)) as session:
        for statement in map(outside.fill, statements(NAMED_BY_PARAMETERS)):
            async with session.post(store.url, params=params, data=statement) as response:
                said = await response.text()
            assert response.status >= 400, statement
            assert "Permission denied" not in said, f"only the kernel refused {statement}"
            assert PRIVATE not in said, statement
        params = {"database": database, "param_column": "x", "param_table": "kept"}
        good = "SELECT count({column:Identifier}) FROM {table:Identifier}"
        async with session.post(store.url, params=params, data=good) as response:
            assert await response.text() == "0\n"
    assert outside.visits == []


SQL_IN_STRINGS = r"""
SELECT * FROM format(Values, 'x String', '(file(\'$FILE\'))')
SELECT * FROM format(Values, 'x String', concat('(fi', 'le(\'$FILE\'))'))
SELECT * FROM format(JSONEachRow, 'a UInt8, x String DEFAULT file(\'$FILE\')', '{"a":1}')
SELECT x FROM generateRandom('a UInt8, x String ALIAS file(\'$FILE\')') LIMIT 1
INSERT INTO kept SELECT * FROM format(Values, 'x String', '(file(\'$FILE\'))')
INSERT INTO kept SELECT x FROM input('a UInt8, x String DEFAULT file(\'$FILE\')') FORMAT JSONEachRow {"a":1}
"""  # noqa: E501
needs_landlock = pytest.mark.skipif(landlock.version() < 2, reason="this kernel has no Landlock")


@needs_landlock
async def test_sql_out_of_strings_opens_no_file(
    store: client.Store, folder: Path, database: str, outside: Outside
) -> None:
    """What no check of words can see, the kernel refuses."""
    await store.command("CREATE TABLE kept (x String) ENGINE = MergeTree ORDER BY x")
    params = {"database": database}
    async with aiohttp.ClientSession(headers=holds.login(folder)) as session:
        for statement in map(outside.fill, statements(SQL_IN_STRINGS)):
            async with session.post(store.url, params=params, data=statement) as response:
                assert "Permission denied" in await response.text(), statement
        rows = gzip.compress(f"(file('{outside.file}'))".encode())
        async with session.post(
            store.url,
            params={"database": database, "query": "INSERT INTO kept VALUES"},
            data=rows,
            headers={"Content-Encoding": "gzip"},
        ) as response:
            assert "Permission denied" in await response.text()
    assert await store.rows("SELECT * FROM kept") == []


@needs_landlock
def test_every_thread_of_the_engine_is_restricted(folder: Path) -> None:
    """Also those that it starts when it is loaded."""
    endpoint = endpoint_file.read(folder)
    assert endpoint is not None
    threads = Path(f"/proc/{endpoint.pid}/task").glob("*/status")
    assert {"NoNewPrivs:\t1" in status.read_text() for status in threads} == {True}


async def test_what_people_ask_of_tables_is_served(store: client.Store) -> None:
    """Nothing is refused only because a word of a shut door occurs in it."""
    await store.command(
        "CREATE TABLE made (file String, engine String, s String) ENGINE = MergeTree ORDER BY s"
    )
    await store.command("INSERT INTO made (`engine`, s) VALUES ('INTO OUTFILE', 'file(1); x')")
    await store.command("INSERT INTO made (`engine`, s) SELECT engine, 'é; from infile' FROM made")
    await store.command("CREATE VIEW seen AS SELECT made.file, engine FROM made WHERE engine != ''")
    await store.command("CREATE TABLE copied AS made ENGINE = ReplacingMergeTree ORDER BY s")
    await store.command("CREATE TABLE same ENGINE = Memory AS SELECT engine AS e FROM made")
    found = await store.rows(
        "SELECT m.file AS f, engine, s FROM made AS m WHERE s LIKE '%infile%' OR s = 'a\\'b'"
    )
    assert [(row["engine"], row["s"]) for row in found] == [("INTO OUTFILE", "é; from infile")]
    tables = await store.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'Memory';"
    )
    assert [row["name"] for row in tables] == ["same"]


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT ';' AS \"a;b\" -- ;\n;\n/* ; */ SELECT 3;\n-- end\n", None),
        ("INSERT INTO t VALUES (1); SELECT 2", ["INSERT INTO t VALUES (1)", "SELECT 2"]),
        ("SELECT 1; INSERT INTO t FORMAT CSV\n1;2\n", None),
        (" ; ;\n", []),
    ],
)
def test_a_script_is_cut_into_statements(script: str, parts: list[str] | None) -> None:
    expected = {
        1: ["SELECT 1", "SELECT ';' AS \"a;b\" -- ;", "/* ; */ SELECT 3"],
        2: ["SELECT 1", "INSERT INTO t FORMAT CSV\n1;2"],
    }
    if parts is None:
        parts = expected[2 if "CSV" in script else 1]
    assert statement_guard.split(script) == parts
