"""`top --url` before servers that are no run: a sentence says so, and never a traceback."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.unit.monitoring import conftest

from polybackfill import errors
from polybackfill.reports import top_lines
from polybackfill.run import remote_view

TOKEN = "a-token-of-24-characters"
NO_RUN = "what answers there is no run of polybackfill"
RATES = {"requests_per_s": 1.0, "allowed_per_s": 2.0, "rows_per_s": 3.0}


@contextlib.contextmanager
def answering(said: bytes) -> Iterator[str]:
    """The URL of a server that says this to whatever it is asked, once."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):  # who has read enough goes
            connection.recv(65_536)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def document(body: object) -> bytes:
    encoded = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(encoded), encoded)


def look(said: bytes) -> str:
    """What is said of the server; it can be shown in any case."""
    with answering(said) as url:
        view = remote_view.RemoteView(url, TOKEN).look()
    assert top_lines.make_lines(view, 80)
    return str(view["said"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        5,
        None,
        "answers",
        {"answers": []},
        {"answers": 5, "said": "running", "picture": None},
        {"answers": [{"text": "no question"}], "said": "running", "picture": None},
        {"answers": [], "said": "running", "picture": {"parts": 3}},
        {"run": "main", "state": "running", "parts": []},
        {"run": "main", "state": "running", "parts": {"wallets": {}}},
        {"run": "main", "state": ["running"]},
    ],
)
def test_a_document_of_something_else_is_no_run(body: object) -> None:
    assert look(document(body)) == NO_RUN


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 500_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (remote_view.MOST_BYTES + 100_000) + b"{}",
    ],
    ids=["no-http", "no-json", "no-text", "no-chunk", "headers", "nested", "endless"],
)
def test_what_is_no_document_is_no_run(said: bytes) -> None:
    assert look(said) == NO_RUN


def test_who_hangs_up_or_refuses_is_named() -> None:
    assert look(b"").startswith("nobody answers there: ")
    assert look(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") == "it answers 404"
    elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert look(elsewhere) == "it answers 302"


def test_a_run_and_a_page_are_shown() -> None:
    assert look(document({"run": "main", "state": "starting"})) == "starting"
    part = conftest.part(requests_per_s=1.0, allowed_per_s=2.0)
    budgets = {"trades": conftest.budget(rate_per_s=1.0)}
    picture = conftest.picture(**RATES, parts={"wallets": part}, budgets=budgets)
    assert look(document(picture)) == "running; not known from here: paused parts"
    assert look(document({**picture, "paused": []})) == "running"
    unmeasured = {**picture, "paused": [], "machine": None}
    assert look(document(unmeasured)) == "running; not known from here: memory and disks"
    answers = [{"question": "Is it?", "text": "Yes.", "tone": "good", "commands": ["polybackfill"]}]
    page = {"run": "main", "said": "running", "answers": answers, "picture": picture}
    assert look(document(page)) == "running"


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1", "http://host:99999", "http://host:port", "ftp://host", "http://",
        "http://a host:9464", "http://me:S3cr3t@host:9464",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_and_no_secret_repeated(url: str) -> None:
    with pytest.raises(errors.Stop, match="give http://HOST:PORT") as raised:
        remote_view.RemoteView(f"{url}/#token=Pl4nted", TOKEN)
    assert "S3cr3t" not in str(raised.value)
    assert "Pl4nted" not in str(raised.value)


def test_a_token_that_no_header_carries_is_refused_and_not_repeated() -> None:
    with pytest.raises(errors.Stop, match="printable ASCII") as raised:
        remote_view.RemoteView("http://127.0.0.1:9464/#token=a%0Ab", TOKEN)
    assert "a\nb" not in str(raised.value)
