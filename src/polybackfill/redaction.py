"""Secrets stay out of what people and files see: one place that shows a URL, one that cleans texts.

A base URL may hold a key: as user or password, as a value of its query, or as a segment of its path
(paid proxies). `Url` keeps it, and shows it without; what one hides is hidden in every other text
too (`redact`), since libraries and servers repeat in their errors what they were asked.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

MASK = "***"
_SHORTEST = 4  # a shorter secret would be found in every other word
# Words of every other text: to hide them would hide no secret.
_PLAIN = frozenset(
    {"api", "clob", "data", "data-api", "gamma", "gamma-api", "polymarket", "proxy", "v1", "v2"}
)
# Segments of a path that are names and no keys, also of those who are alerted. As a password each
# of them is hidden.
_SEGMENTS = _PLAIN | {"services", "webhooks", "sendmessage", "push", "ping", "polybackfill"}
# Objects whose names are texts of the API.
_NAMED_BY_API = frozenset({"unknown_fields"})
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None


def remember(secrets: Iterable[str]) -> None:
    """Hide these in every text from now on, also as URLs and JSON write them."""
    global _pattern  # noqa: PLW0603  (of the process, like its environment)
    forms: set[str] = set()
    for secret in secrets:
        for plain in (secret, urllib.parse.unquote(secret)):
            forms |= {plain, urllib.parse.quote(plain), urllib.parse.quote(plain, safe="")}
            forms |= {urllib.parse.quote_plus(plain), repr(plain)[1:-1]}
            forms |= {json.dumps(plain, ensure_ascii=only)[1:-1] for only in (True, False)}
    known = {form for form in forms if len(form) >= _SHORTEST and form.lower() not in _PLAIN}
    if known - _secrets:
        _secrets.update(known)
        longest_first = sorted(_secrets, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first)))


def redact(text: str) -> str:
    """The text without any secret that is known."""
    return text if _pattern is None else _pattern.sub(MASK, text)


def redact_values(document: Any) -> Any:
    """A document of JSON without any secret that is known in its strings.

    Names of fields and numbers stay, whatever secret looks like them: a reader knows them by name.
    """
    if isinstance(document, str):
        return redact(document)
    if isinstance(document, list):
        return [redact_values(one) for one in document]
    if isinstance(document, dict):
        return {name: _redact_field(name, value) for name, value in document.items()}
    return document


def _redact_field(name: str, value: Any) -> Any:
    if name in _NAMED_BY_API and isinstance(value, dict):
        return {redact(key): redact_values(one) for key, one in value.items()}
    return redact_values(value)


def shown(url: str) -> str:
    """A URL without what may be secret: user, password, values of the query, odd path segments."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = _host_of(parts)
    except ValueError:
        return MASK
    login = f"{MASK}@" if "@" in parts.netloc else ""
    path = "/".join(_shown_segment(segment) for segment in parts.path.split("/"))
    query = "&".join(
        f"{name}={MASK}" if mark else MASK
        for name, mark, _ in (part.partition("=") for part in parts.query.split("&") if part)
    )
    return urllib.parse.urlunsplit((parts.scheme, login + host, path, query, ""))


def secrets_of(url: str) -> list[str]:
    """What `shown` leaves out."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return [url]
    secrets = [parts.username or "", parts.password or ""]
    secrets += [segment for segment in parts.path.split("/") if _shown_segment(segment) == MASK]
    secrets += [part.partition("=")[2] or part for part in parts.query.split("&")]
    return [secret for secret in secrets if secret]


def remember_proxies() -> None:
    """Hide the passwords of the proxies that the environment names."""
    for name, value in os.environ.items():
        if name.lower() in _PROXIES:
            remember(secrets_of(value if "://" in value else f"http://{value}"))


class Url:
    """A base URL. `secret`: whole, for the one who asks; as text it is what may be shown."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        remember(secrets_of(secret))

    def __str__(self) -> str:
        return shown(self.secret)

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other.secret == self.secret

    def __hash__(self) -> int:
        return hash(self.secret)

    @property
    def host(self) -> str:
        """Its host, "" when it has none."""
        return urllib.parse.urlsplit(self.secret).hostname or ""

    @property
    def host_and_port(self) -> str:
        """Host and port, for which the scheme stands in."""
        parts = urllib.parse.urlsplit(self.secret)
        return f"{parts.hostname}:{parts.port or parts.scheme}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        """How a setting becomes one (docs.pydantic.dev, custom types)."""
        from pydantic_core import core_schema as schema  # noqa: PLC0415  (slow; only settings)

        return schema.no_info_plain_validator_function(
            _base_url,
            json_schema_input_schema=schema.str_schema(),
            serialization=schema.to_string_ser_schema(),
        )


def _base_url(given: object) -> Url:
    if isinstance(given, Url):
        return given
    url = str(given).strip().rstrip("/")
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be http:// or https:// with a host")
    return Url(url)


def _host_of(parts: urllib.parse.SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port is None else f"{host}:{parts.port}"


def _shown_segment(segment: str) -> str:
    return segment if not segment or segment.lower() in _SEGMENTS else MASK
