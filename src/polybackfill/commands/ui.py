"""`polybackfill ui`: the web page of the run, on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from polybackfill import errors, redaction, settings
from polybackfill.engine import stop_signals
from polybackfill.filesystem import files
from polybackfill.monitoring import latest_document, listen_address, page_server
from polybackfill.reports import run_files
from polybackfill.run import bootstrap, run_view

_TOKEN_BYTES = 24
_REDIRECT_S = 20.0  # a browser that starts has read the file by then
_REDIRECT = '<!doctype html><meta http-equiv="refresh" content="0;url={url}"><title>…</title>\n'


def ui(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C or SIGTERM."""
    chosen = bootstrap.settings_of(arguments)
    run_files.require_run(chosen)
    address = listen_address.parse_address(arguments.address, "--address")
    own_token = chosen.backfill.listen_token.get_secret_value()
    listen_address.require_own_token(address, own_token)
    token = own_token or secrets.token_urlsafe(_TOKEN_BYTES)
    access = listen_address.Access(address, token)
    served = _serve(
        chosen, access, with_browser=not arguments.no_open, with_input=arguments.end_with_input
    )
    bootstrap.run(served)
    return errors.EXIT_OK


async def _serve(
    chosen: settings.Settings,
    access: listen_address.Access,
    *,
    with_browser: bool,
    with_input: bool,
) -> None:
    view = run_view.RunView(chosen)
    latest = latest_document.LatestDocument(await asyncio.to_thread(view.look))
    questions: dict[str, page_server.Question] = {
        "/history.json": view.history,
        "/checkpoint.json": view.checkpoint,
        "/units.json": view.units,
        "/workers.json": view.workers,
        "/quarantine.json": view.quarantine,
        "/subject.json": view.subject,
    }
    actions: dict[str, page_server.Action] = {
        "/pause": view.pause,
        "/resume": view.resume,
        "/retry": view.retry,
        "/drain": view.drain,
    }
    server = page_server.PageServer(latest, questions, actions, access)
    stop = asyncio.Event()
    with stop_signals.catch_stop_signals(stop):
        if with_input:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _end_with_input, stop)
        watching = asyncio.create_task(view.watch(latest), name="run view")
        # What ends it is told here, instead of a page that stands still.
        watching.add_done_callback(lambda _: stop.set())
        address = await server.open()
        url = f"{address}/#token={access.token}"
        try:
            ends = "it ends with the run" if with_input else "Ctrl-C ends it, the run goes on"
            has_own = bool(chosen.backfill.listen_token.get_secret_value())
            # A token of the settings is a secret already, and masked as everywhere.
            shown = f"{address}/" if has_own else url
            sign_in = " Sign in with BACKFILL_LISTEN_TOKEN." if has_own else ""
            said = f"{shown}\nThis is the page of the run; {ends}.{sign_in}"
            print(said, file=sys.stderr, flush=True)
            redaction.remember([access.token])
            if with_browser:
                await _open_browser(url, chosen.backfill.data_dir / "status", stop)
            await stop.wait()
        finally:
            await server.close()
            if not watching.cancel():
                await watching


def _end_with_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


async def _open_browser(url: str, folder: Path, stop: asyncio.Event) -> None:
    """Show the page. The browser is given a file that its owner alone can read: every user of this
    machine sees the words a program is started with.
    """
    if not _has_screen():
        return
    with contextlib.suppress(OSError), _redirect_file(url, folder) as file:
        await asyncio.to_thread(webbrowser.open, file.absolute().as_uri())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _REDIRECT_S)


def _has_screen() -> bool:
    """A browser without one would take the terminal."""
    return sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


@contextlib.contextmanager
def _redirect_file(url: str, folder: Path) -> Iterator[Path]:
    file = folder / f"ui-{os.getpid()}.html"
    folder.mkdir(parents=True, exist_ok=True)
    files.write_private(file, _REDIRECT.format(url=url))
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
