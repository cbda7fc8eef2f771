"""A loopback server that takes alerts and pings, and fails, hangs or redirects when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What it was sent: `alerts` in their order, `pings` by path. `answer`: a status, or hang."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.pings: list[str] = []
        self.answer: int | str = 200
        self.url = ""
        self.ended = threading.Event()

    def kinds(self) -> list[str]:
        """The kinds of the plain alerts."""
        return [alert["kind"] for alert in self.alerts]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, for as long as this lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            receiver.pings.append(self.path)
            self._answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.alerts.append(json.loads(body))
            self._answer()

        def _answer(self) -> None:
            if receiver.answer == "hang":
                receiver.ended.wait(60)
                return
            self.send_response(302 if receiver.answer == "redirect" else int(receiver.answer))
            if receiver.answer == "redirect":
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            server.shutdown()
            serving.join()
