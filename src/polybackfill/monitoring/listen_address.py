"""Where the endpoint listens, and who may ask it there."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import re
import socket
import urllib.parse
from dataclasses import dataclass

from polybackfill import errors

LOOPBACK = "127.0.0.1"
MIN_TOKEN_CHARACTERS = 16
_ADDRESS = re.compile(r"(?:(?P<host>[^:\[\]]+|\[[0-9A-Fa-f:.]+\]):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class ListenAddress:
    """`host`: what the socket is bound to; `port`: 0 lets the system choose; `setting`: where it
    was chosen, for messages.
    """

    host: str
    port: int
    setting: str = "BACKFILL_LISTEN"

    @property
    def is_loopback(self) -> bool:
        """Only programs of this machine reach it."""
        return _is_loopback(self.host)


def parse_address(text: str, setting: str = "BACKFILL_LISTEN") -> ListenAddress:
    """`[HOST:]PORT`. Raises errors.Stop for anything else."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65535:
        raise errors.Stop(
            f"{setting} = {text!r} is no address: a port (9464), or a host and a port "
            "(127.0.0.1:9464, [::1]:9464, 0.0.0.0:9464)"
        )
    host = (match["host"] or LOOPBACK).strip("[]")
    return ListenAddress(LOOPBACK if host == "localhost" else host, int(match["port"]), setting)


def require_own_token(address: ListenAddress, token: str) -> None:
    """Raise errors.Stop where others could ask with a token that nobody chose, or a short one."""
    if not token and not address.is_loopback:
        raise errors.Stop(
            f"{address.setting} = {address.host}:{address.port} is reached from other machines: "
            "set BACKFILL_LISTEN_TOKEN to a secret of your own, or listen on 127.0.0.1"
        )
    if token and len(token) < MIN_TOKEN_CHARACTERS:
        raise errors.Stop(
            f"BACKFILL_LISTEN_TOKEN is too short: at least {MIN_TOKEN_CHARACTERS} characters, for "
            "example of `openssl rand -hex 16`"
        )


@dataclass(frozen=True)
class Access:
    """Who may ask: programs that know the token, and speak to the endpoint by a name of its own.

    A web page of another site that makes a browser ask here, also by a name that it lets point to
    this machine (DNS rebinding), is known by its Host or Origin.
    """

    address: ListenAddress
    token: str

    def knows_host(self, host_header: str) -> bool:
        """Whether a Host header names this machine: by address, or by a name that it has."""
        host = _host_of(host_header)
        if self.address.is_loopback:
            return host == "localhost" or _is_loopback(host)
        names = {"localhost", self.address.host.lower(), socket.gethostname().lower()}
        return host in names or _is_ip(host)

    def knows_origin(self, origin: str | None, host_header: str) -> bool:
        """Whether a request comes from a page of ours, or from no page at all."""
        if origin is None:
            return True
        with contextlib.suppress(ValueError):
            parts = urllib.parse.urlsplit(origin)
            return parts.scheme in {"http", "https"} and parts.netloc == host_header
        return False

    def knows_token(self, authorization: str | None) -> bool:
        """Whether an Authorization header carries the token; compared in constant time."""
        scheme, _, given = (authorization or "").partition(" ")
        same = hmac.compare_digest(
            self.token.encode(), given.strip().encode("utf-8", "surrogateescape")
        )
        return scheme.lower() == "bearer" and same


def _host_of(header: str) -> str:
    """The name or address in a Host header, "" when it is none."""
    with contextlib.suppress(ValueError):
        return (urllib.parse.urlsplit(f"//{header}").hostname or "").lower()
    return ""


def _is_ip(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
