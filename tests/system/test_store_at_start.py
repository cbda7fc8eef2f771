"""A store that is not there yet is 75, which a service outlives; 78 is for a person to correct."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

from polybackfill import cli, errors, settings
from polybackfill.commands import run
from polybackfill.filesystem import files
from polybackfill.run import bootstrap
from polybackfill.store import error_codes

WALLET = "0x" + "ab" * 20


@pytest.fixture
def ground(bare_ground: harness.Ground) -> harness.Ground:
    """Nobody has made a store there yet."""
    return bare_ground


def start(ground: harness.Ground, host: str, port: int, code: int, **server: str) -> str:
    """Start a run on that server; it must end with `code`, without a trace, and write nothing."""
    ground.environment |= {"CLICKHOUSE_HOST": host, "CLICKHOUSE_PORT": str(port)}
    ground.environment |= {f"CLICKHOUSE_{name.upper()}": text for name, text in server.items()}
    ended = ground.run("run", "--wallet", WALLET, within_s=20)
    ended.expect(code)
    assert "Traceback" not in ended.err
    assert not ground.checkpoints.exists()
    return " ".join(ended.err.split())


@contextlib.contextmanager
def listening(*, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Something that accepts every connection and hangs up, as a server that is just starting."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with contextlib.suppress(OSError), connection:
                        if tls is not None:
                            tls.wrap_socket(connection, server_side=True).recv(1)

        threading.Thread(target=hang_up, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def answering(status: int, text: str) -> Iterator[int]:
    """A server that gives every question this answer."""

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_server_that_refuses_connections(ground: harness.Ground) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        port = taken.getsockname()[1]
        said = start(ground, "127.0.0.1", port, errors.EXIT_UNAVAILABLE)
    assert f"127.0.0.1:{port}" in said
    assert "CLICKHOUSE_HOST" in said


def test_a_name_that_does_not_resolve_yet(ground: harness.Ground) -> None:
    said = start(ground, "clickhouse.invalid", 8123, errors.EXIT_UNAVAILABLE)
    assert "clickhouse.invalid:8123" in said


def test_a_server_that_hangs_up(ground: harness.Ground) -> None:
    with listening() as port:
        said = start(ground, "127.0.0.1", port, errors.EXIT_UNAVAILABLE)
    assert f"127.0.0.1:{port}" in said


def test_tls_is_not_ready(ground: harness.Ground) -> None:
    with listening() as port:
        said = start(ground, "127.0.0.1", port, errors.EXIT_UNAVAILABLE, secure="true")
    assert f"127.0.0.1:{port}" in said


@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
@pytest.mark.parametrize(
    ("days", "code"),
    [("-9", errors.EXIT_UNAVAILABLE), ("+9", errors.EXIT_UNAVAILABLE), ("-1", errors.EXIT_CONFIG)],
    ids=["expired", "not yet valid", "of an unknown authority"],
)
def test_a_certificate(ground: harness.Ground, tmp_path: Path, days: str, code: int) -> None:
    """One that has expired is renewed; one of an authority nobody knows needs a person."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["faketime", "-f", f"{days}d", "openssl", "req", "-x509", "-newkey", "rsa:2048"]
    make += ["-nodes", "-days", "5", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    if code == errors.EXIT_UNAVAILABLE:
        ground.environment["SSL_CERT_FILE"] = str(certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with listening(tls=tls) as port:
        said = start(ground, "127.0.0.1", port, code, secure="true")
    assert "certificate of the store at 127.0.0.1" in said


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (503, "<html>no backend yet</html>", errors.EXIT_UNAVAILABLE),
        (500, "Code: 473. DB::Exception: the table is locked", errors.EXIT_UNAVAILABLE),
        (500, "Code: 202. DB::Exception: Too many simultaneous queries", errors.EXIT_UNAVAILABLE),
        (500, "Code: 722. DB::Exception: tables are being loaded", errors.EXIT_UNAVAILABLE),
        (500, "Code: 75. DB::ErrnoException: , errno: 5, strerror: …", errors.EXIT_UNAVAILABLE),
        (500, "Code: 243. DB::Exception: No space left", errors.EXIT_UNAVAILABLE),
        (403, "Code: 516. DB::Exception: Authentication failed", errors.EXIT_CONFIG),
        (404, "Code: 81. DB::Exception: Database default does not exist", errors.EXIT_CONFIG),
        (500, "Code: 497. DB::Exception: Not enough privileges", errors.EXIT_CONFIG),
    ],
)
async def test_what_a_server_says(
    status: int, text: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(status, text) as port:
        monkeypatch.setenv("CLICKHOUSE_HOST", "127.0.0.1")
        monkeypatch.setenv("CLICKHOUSE_PORT", str(port))
        with pytest.raises(errors.Stop) as refusal:
            await bootstrap.check_server(settings.load())
    assert refusal.value.exit_code == code


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOSPC])
def test_a_machine_that_falters_is_no_reason_to_give_up(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever an error of the system is met: at a folder, in the checkpoint, or by nobody."""
    trouble = OSError(number, os.strerror(number))

    def fails(*_words: object, **_more: object) -> None:
        raise trouble

    assert files.as_stop(trouble, "write", tmp_path).exit_code == errors.EXIT_UNAVAILABLE
    monkeypatch.setattr(Path, "mkdir", fails)
    with pytest.raises(errors.Stop) as refusal:
        bootstrap.make_folder(tmp_path / "data", "BACKFILL_DATA_DIR")
    assert refusal.value.exit_code == errors.EXIT_UNAVAILABLE
    monkeypatch.setattr(run, "run", fails)
    assert cli.main(["run"]) == errors.EXIT_UNAVAILABLE


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_words: object, **_more: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "who looks for this?")

    monkeypatch.setattr(settings, "load", fails)
    with pytest.raises(FileNotFoundError):
        cli.main(["status"])


def test_too_many_open_files_of_the_store_are_no_fault_of_a_row() -> None:
    text = "Code: 76. DB::ErrnoException: Cannot open file: , errno: 24, strerror: …"
    told = error_codes.classify(text, location="here", user="u", database="d")
    assert isinstance(told, errors.Retry)


def test_a_server_of_a_cluster_that_breaks_off_is_asked_again() -> None:
    """As it was read when one was killed in the middle of an answer."""
    text = (
        "Code: 32. DB::Exception: Attempt to read after eof: while receiving packet from "
        "127.0.0.102:36897, local address: 127.0.0.1:60600: While executing Remote. "
        "(ATTEMPT_TO_READ_AFTER_EOF) (version 26.9.2.1)"
    )
    told = error_codes.classify(text, location="here", user="u", database="d")
    assert isinstance(told, errors.Retry)
    alone = error_codes.classify(
        text.replace("receiving", "reading"), location="", user="", database=""
    )
    assert isinstance(alone, errors.GiveUp)
