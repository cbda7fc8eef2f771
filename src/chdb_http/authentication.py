"""Who may use the child's port: programs that know the secret, and no web page."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from aiohttp import hdrs, web

from chdb_http import secret

AUTHENTICATION_FAILED = 516
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_REMEDY = (
    "Authentication failed: the embedded store wants user `default` and its password, which "
    "`polybackfill db serve` prints and which stands in store.secret of the data folder"
)


@dataclass(frozen=True)
class Caller:
    """Who sent a request. `own`: one of our commands, which knows the secret and does not send it;
    `server_proof`: what proves to that command that we know it too."""

    own: bool = False
    server_proof: str = ""


class Authenticator:
    """`child`: the name under which our commands know this process."""

    def __init__(self, key: secret.Secret, child: str) -> None:
        self._key = key
        self._child = child

    def authenticate(self, request: web.Request) -> Caller | None:
        """The caller, None when it does not know the secret."""
        nonce = request.headers.get(secret.NONCE_HEADER, "")
        if nonce:
            proof = request.headers.get(secret.PROOF_HEADER, "")
            expected = self._key.client_proof(self._child, nonce)
            if not secret.Secret(expected).matches(proof):
                return None
            return Caller(own=True, server_proof=self._key.server_proof(self._child, nonce))
        user, password = _credentials(request)
        return Caller() if self._key.matches(password) and user == secret.USER else None


def is_from_browser(request: web.Request) -> bool:
    """Whether a web page sent the request; no page may reach the store through a user's browser.

    A page can send requests to loopback, or point a host name of its own at it. It shows in the
    headers: Origin, Sec-Fetch-Site (`none` is an address that a person typed), or a Host that is
    not loopback's.
    """
    name = request.host.rsplit(":", 1)[0].strip("[]").lower()
    return (
        name not in _LOOPBACK_NAMES
        or hdrs.ORIGIN in request.headers
        or request.headers.get("Sec-Fetch-Site", "none") != "none"
    )


def refusal_text() -> str:
    """The error text for a caller without the secret."""
    return f"Code: {AUTHENTICATION_FAILED}. DB::Exception: {_REMEDY}. (AUTHENTICATION_FAILED)\n"


def _credentials(request: web.Request) -> tuple[str, str]:
    """User and password the way ClickHouse looks for them: its headers, Basic, the URL."""
    headers = request.headers
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", secret.USER), headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except ValueError:  # neither base64 nor UTF-8
            return "", ""
        return user, password
    return request.query.get("user", secret.USER), request.query.get("password", "")
