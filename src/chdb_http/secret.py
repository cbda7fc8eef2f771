"""The embedded store's secret, which works both ways.

Other programs send it as the password of the user `default`, as to any ClickHouse server. Our own
commands never send it: both sides prove to each other that they know it, for each request anew, so
that a program that has taken over the port of a child that died learns nothing and is not believed.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from chdb_http import durable_files

USER = "default"
# Sent with a statement that a person typed: it gets a tool's place in the store, not the program's.
GUEST_HEADER = "X-Polybackfill-Guest"
PROOF_HEADER, NONCE_HEADER = "X-Polybackfill-Proof", "X-Polybackfill-Nonce"
_BYTES = 24
_MIN_CHARACTERS = 16


@dataclass(frozen=True)
class Secret:
    """`text`: what people and other programs use as a password."""

    text: str = field(repr=False)

    def matches(self, given: str) -> bool:
        """Whether `given` is the secret, compared in constant time."""
        return hmac.compare_digest(self.text.encode(), given.encode("utf-8", "surrogateescape"))

    def client_proof(self, child: str, nonce: str) -> str:
        """What a command sends with `nonce`. `child`: see `child_name`."""
        return self._proof("question", child, nonce)

    def server_proof(self, child: str, nonce: str) -> str:
        """What the child sends back."""
        return self._proof("answer", child, nonce)

    def _proof(self, *parts: str) -> str:
        return hmac.new(self.text.encode(), "\n".join(parts).encode(), "sha256").hexdigest()


def new_nonce() -> str:
    """Different for each request."""
    return secrets.token_hex(16)


def child_name(pid: int, port: int) -> str:
    """The name of a child within proofs: a proof made for one child is worthless to another."""
    return f"{pid}:{port}"


def path(folder: Path) -> Path:
    """The file, readable for its owner alone."""
    return folder / "store.secret"


def read(folder: Path) -> Secret | None:
    """The folder's secret, None when there is none yet. Raises PermissionError to other users."""
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        text = path(folder).read_text("ascii").strip()
        if len(text) >= _MIN_CHARACTERS:
            return Secret(text)
    return None


def read_or_create(folder: Path) -> Secret:
    """The folder's secret, made when there is none; called under the folder's lock."""
    found = read(folder)
    if found is not None:
        path(folder).chmod(0o600)
        return found
    made = Secret(secrets.token_urlsafe(_BYTES))
    scratch = path(folder).with_suffix(f".{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{made.text}\n")
        file.flush()
        os.fsync(descriptor)
    scratch.replace(path(folder))
    durable_files.sync_folder(folder)  # other programs have it in their settings
    return made
