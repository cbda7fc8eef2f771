"""CLICKHOUSE_HOST in all the forms people write it: a name, an address, with a port, as a URL."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping
from typing import Any

from polybackfill import redaction

_SCHEMES = {"http": False, "https": True}


def merged(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the store with what `host` says beyond a host in its own place.

    Raises ValueError, in words, for a host that is none and for what contradicts another setting.
    """
    settings = dict(given)
    host = settings.get("host")
    if not isinstance(host, str) or not host.strip():
        return settings
    secrets = redaction.secrets_of(host.strip()) if "://" in host else []
    try:
        said = _taken_apart(host.strip())
    except ValueError:
        redaction.remember(secrets)
        raise
    # What is understood is named in messages, and the database may have the name of a folder.
    redaction.remember([secret for secret in secrets if secret != said.get("database")])
    for name, value in said.items():
        _refuse_contradiction(host.strip(), settings, name, value)
    return settings | said


def _taken_apart(host: str) -> dict[str, Any]:
    if "://" in host:
        return _of_url(host)
    if _is_ipv6(host):
        return {"host": host}
    parts = _split(f"//{host}", host)
    if parts.path or parts.query or "@" in parts.netloc:
        raise ValueError(_unusable(host))
    return _named(host=_host_of(parts, host), port=parts.port)


def _of_url(url: str) -> dict[str, Any]:
    parts = _split(url, url)
    path = parts.path.strip("/")
    if parts.scheme not in _SCHEMES or "/" in path or parts.fragment:
        raise ValueError(_unusable(url))
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    if unknown := query.keys() - {"user", "password", "database"}:
        raise ValueError(f"{_unusable(url)} ({', '.join(sorted(unknown))} is not understood)")
    said = _named(
        host=_host_of(parts, url),
        port=parts.port,
        user=urllib.parse.unquote(parts.username or "") or query.get("user"),
        password=urllib.parse.unquote(parts.password or "") or query.get("password"),
        database=urllib.parse.unquote(path) or query.get("database"),
    )
    return {**said, "secure": _SCHEMES[parts.scheme]}


def _split(url: str, given: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # a property that raises
    except ValueError as error:
        raise ValueError(_unusable(given)) from error
    return parts


def _host_of(parts: urllib.parse.SplitResult, given: str) -> str:
    host = parts.hostname or ""
    if not host or any(character.isspace() for character in host):
        raise ValueError(_unusable(given))
    return host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _named(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None and value != ""}


def _refuse_contradiction(host: str, settings: Mapping[str, Any], name: str, value: Any) -> None:
    other = settings.get(name)
    if name == "host" or other is None or other == "":
        return
    if name == "secure":
        same = str(other).lower() in ({"true", "1", "yes", "on"} if value else _FALSE)
    else:
        same = str(getattr(other, "get_secret_value", lambda: other)()) == str(value)
    if not same:
        shown = "another one" if name == "password" else other
        raise ValueError(
            f"CLICKHOUSE_HOST {redaction.shown(host) if '://' in host else host} and "
            f"CLICKHOUSE_{name.upper()} ({shown}) say different things: leave one of them out"
        )


_FALSE = {"false", "0", "no", "off"}


def _unusable(host: str) -> str:
    shown = redaction.shown(host) if "://" in host else redaction.redact(host)
    return (
        f"CLICKHOUSE_HOST {shown} is no host: give a name, an address, HOST:PORT, or "
        "http(s)://[USER:PASSWORD@]HOST[:PORT][/DATABASE]"
    )
