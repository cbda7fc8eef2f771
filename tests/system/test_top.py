"""`top` and `status --watch`: a run in a terminal, in a pipe, and from its endpoint."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests import harness

from polybackfill import errors

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
TOKEN = "a-token-of-24-characters"


@pytest.fixture
def listening(ground: harness.Ground, sandbox: harness.Sandbox) -> Iterator[harness.Ground]:
    """A ground with a run that goes on, and listens."""
    ground.set(listen="127.0.0.1:0", listen_token=TOKEN, sleep_ms=2_000)
    run = ground.start("run", *ground.write_keys(sandbox))
    harness.until((ground.data / "status" / "main.json").exists, "the first picture")
    ground.environment["ENDPOINT"] = run.err().partition("status: ")[2].partition("/health")[0]
    yield ground
    run.signal(signal.SIGTERM)
    run.end().expect(0)


def test_in_a_pipe_it_is_shown_once(listening: harness.Ground) -> None:
    local = listening.run("top")
    local.expect(0)
    remote = listening.run("top", "--url", listening.environment["ENDPOINT"])
    remote.expect(0)
    for shown in (local, remote):
        assert "When is it done?" in shown.out
        assert "Is it at the limit?" in shown.out
        assert "/v2/activity" in shown.out
        assert "wallets" in shown.out
        assert "memory" in shown.out
        assert TOKEN not in shown.out + shown.err
        assert "\x1b" not in shown.out


def test_a_script_reads_one_json_object_a_line(listening: harness.Ground) -> None:
    watching = listening.start("status", "--watch", "--json")
    harness.until(lambda: watching.out().count("\n") >= 3, "three lines")
    watching.signal(signal.SIGINT)
    watching.end(within_s=20).expect(0)
    documents = [json.loads(line) for line in watching.out().splitlines()]
    assert {document["state"] for document in documents} == {"running"}
    moments = [document["now"] for document in documents]
    assert moments == sorted(moments)
    assert moments[-1] > moments[0]


def test_the_page_beside_a_run_takes_the_users_own_token(listening: harness.Ground) -> None:
    page = listening.start("ui", "--no-open")
    harness.until(lambda: "This is the page" in page.err(), "the URL of the page")
    url = page.err().split()[0]
    assert "Sign in with BACKFILL_LISTEN_TOKEN." in page.err()
    assert "#token" not in url
    assert TOKEN not in page.err()
    shown = listening.run("top", "--url", url)
    shown.expect(0)
    assert "When is it done?" in shown.out
    listening.environment["BACKFILL_LISTEN_TOKEN"] = "another-token-of-24-chars"
    assert "the token is not the right one" in listening.run("top", "--url", url).err
    listening.environment["BACKFILL_LISTEN_TOKEN"] = TOKEN
    page.signal(signal.SIGTERM)
    page.end(within_s=20).expect(0)


@pytest.mark.parametrize("words", [("top",), ("status", "--watch")])
def test_on_a_terminal_it_is_drawn_until_ctrl_c(
    listening: harness.Ground, words: tuple[str, ...]
) -> None:
    mine, theirs = pty.openpty()
    environment = {**listening.environment, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
    with subprocess.Popen(
        [*harness.COMMAND, *words], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        drawn, deadline = b"", time.monotonic() + 30
        while drawn.count(b"\x1b[H") < 3 and time.monotonic() < deadline:
            if select.select([mine], [], [], 1.0)[0]:
                drawn += os.read(mine, 65_536)
        process.send_signal(signal.SIGINT)
        try:
            while more := os.read(mine, 65_536):
                drawn += more
        except OSError:  # Linux's way to say that nobody writes any more
            pass
        assert process.wait(20) == 0
    os.close(mine)
    assert drawn.startswith(ENTER)
    assert drawn.rstrip().endswith(LEAVE)
    assert b"wallets" in drawn
    pictures = drawn.split(b"\x1b[H")[1:]
    assert len(pictures) >= 3
    assert all(len(picture.split(b"\r\n")) <= 40 for picture in pictures)


def test_a_wrong_token_and_a_dead_address_are_named(listening: harness.Ground) -> None:
    url = listening.environment["ENDPOINT"]
    refused = listening.run("top", "--url", f"{url}/#token=another-token-of-yours")
    refused.expect(errors.EXIT_CONFIG)
    assert "the token is not the right one" in refused.err
    assert "another-token-of-yours" not in refused.err
    silent = listening.run("top", "--url", "127.0.0.1:1")
    silent.expect(0)
    assert "nobody answers there" in silent.out
    listening.run("top", "--url", "ftp://127.0.0.1").expect(errors.EXIT_CONFIG)
