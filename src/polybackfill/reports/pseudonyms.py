"""Texts that leave the machine: wallets and people get other names, secrets are blotted out.

The same wallet has the same other name in every text of one archive, however it is written: with
and without 0x, in capitals, in a URL, inside JSON inside a string. So have transactions, which lead
to wallets, and the names people gave themselves.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from polybackfill import redaction

_HEX = "[0-9a-fA-F]"
_BEFORE = f"(?:(?<!{_HEX})|(?<=%{_HEX}{{2}}))"
_WALLET = re.compile(f"{_BEFORE}({_HEX}{{40}})(?!{_HEX})")
# An address as it stands in a word of the chain.
_PADDED = re.compile(f"(?<={'0' * 24})({_HEX}{{40}})(?!{_HEX})")
_HASH = re.compile(f"{_BEFORE}({_HEX}{{64}})(?!{_HEX})")
# What a message that was cut off leaves of an id.
_PIECE = re.compile(f"(?<!{_HEX})0[xX]{_HEX}{{6,39}}(?!{_HEX})")
_HASH_FIELDS = frozenset(("transaction_hash", "transactionHash", "tx_hash"))
# Objects with one of the first are about a person; the others are what the person is called.
_PERSON = ("proxy_wallet", "proxyWallet", "user_id", "pseudonym", "profile_image", "profileImage")
_NAMES = frozenset(("name", "pseudonym", "user_name", "userName", "x_username", "xUsername"))
_TEXTS = frozenset(
    ("bio", "profile_image", "profile_image_optimized", "profileImage", "profileImageOptimized")
)
_FIELD = re.compile(
    r'(\\*")(?P<name>name|pseudonym|user_name|userName|x_username|xUsername|bio|profile_image\w*'
    r"|profileImage\w*)\1(\s*:\s*)\1(?P<value>(?:(?!\1)(?:\\.|[^\\]))*)\1"
)
_SHORTEST_NAME = 5  # a shorter one may be a word of any text
_SHORTEST_SECRET = 4
_BLOT = "…"
_TELLING = ("PASSWORD", "SECRET", "TOKEN", "API_KEY")
_NO_SECRETS = ("true", "false", "none", "null")


class Pseudonyms:
    """The other names of one archive. `secrets`: texts that must not appear anywhere."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._wallets: dict[str, str] = {}
        self._hashes: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._others: set[str] = set()  # all that has been given
        self._ordered: list[str] = []
        forms = {form for secret in secrets for form in _forms(secret)}
        self._secrets = sorted(filter(_is_secret, forms), key=len, reverse=True)

    @property
    def replaced(self) -> dict[str, int]:
        """How many different ones have other names by now."""
        return {
            "wallets": len(self._wallets),
            "transactions": len(self._hashes),
            "names": len(self._names),
        }

    def learn(self, value: Any) -> None:
        """Meet whoever is named in a document, so that they are known in texts without fields."""
        if isinstance(value, dict):
            is_person = any(name in value for name in _PERSON)
            for name, member in value.items():
                if name in _HASH_FIELDS and isinstance(member, str):
                    for match in _HASH.findall(member):
                        self._hash(match)
                elif is_person and name in _NAMES and isinstance(member, str) and member:
                    self._name(member)
                else:
                    self.learn(member)
        elif isinstance(value, list | tuple):
            for member in value:
                self.learn(member)
        elif isinstance(value, str) and (inner := _document(value)) is not None:
            self.learn(inner)

    def document(self, value: Any) -> Any:
        """A JSON document as it may leave."""
        if isinstance(value, dict):
            is_person = any(name in value for name in _PERSON)
            return {
                self.text(str(name)): self._field(str(name), member, is_person=is_person)
                for name, member in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.document(member) for member in value]
        if not isinstance(value, str):
            return value
        inner = _document(value)
        if inner is None:
            return self.text(value)
        return json.dumps(self.document(inner), ensure_ascii=False)

    def text(self, text: str) -> str:
        """Any text as it may leave."""
        text = redaction.redact(text)
        for secret in self._secrets:
            text = text.replace(secret, _BLOT)
        text = _masked_urls(text)
        is_row = any(name in text for name in _PERSON)
        text = _FIELD.sub(lambda match: self._other_field(match, is_row=is_row), text)
        text = _PADDED.sub(lambda match: self._wallet(match[1]), text)
        text = _WALLET.sub(lambda match: self._wallet(match[1]), text)
        text = _HASH.sub(lambda match: self._hashes.get(match[1].lower(), match[1]), text)
        text = _PIECE.sub("0x" + _BLOT, text)
        for name in self._longest_first():
            if name in text:
                text = text.replace(name, self._names[name])
        return text

    def _longest_first(self) -> list[str]:
        """Names to look for in any text: one may be a part of another."""
        if len(self._ordered) != len(self._names):
            self._ordered = sorted(self._names, key=len, reverse=True)
        return [name for name in self._ordered if len(name) >= _SHORTEST_NAME]

    def _field(self, name: str, member: Any, *, is_person: bool) -> Any:
        if is_person and isinstance(member, str) and member:
            if name in _NAMES:
                return self._name(member)
            if name in _TEXTS:
                return _BLOT
        return self.document(member)

    def _other_field(self, match: re.Match[str], *, is_row: bool) -> str:
        value = match["value"]
        if not value or (match["name"] == "name" and not is_row):  # many things have names
            return match[0]
        other = self._name(value) if match["name"] in _NAMES else _BLOT
        return match[0][: match.start("value") - match.start()] + other + match[1]

    def _wallet(self, digits: str) -> str:
        return self._other(self._wallets, digits.lower(), "face{:036d}")

    def _hash(self, digits: str) -> str:
        return self._other(self._hashes, digits.lower(), "fade{:060d}")

    def _name(self, name: str) -> str:
        return self._other(self._names, name, "person-{}")

    def _other(self, known: dict[str, str], assigned: str, form: str) -> str:
        """The other name of one, given when it is first met; what is one already stays."""
        if assigned in self._others:
            return assigned
        if assigned not in known:
            known[assigned] = form.format(len(known) + 1)
            self._others.add(known[assigned])
        return known[assigned]


def list_secrets(environment: Mapping[str, str], urls: Iterable[str]) -> list[str]:
    """Texts that must stay here: values of telling names, and what URLs hold beside the address."""
    secrets = [
        value
        for name, value in environment.items()
        if any(word in name.upper() for word in _TELLING) and value.lower() not in _NO_SECRETS
    ]
    proxies = [value for name, value in environment.items() if name.upper().endswith("_PROXY")]
    for url in (*urls, *proxies):
        secrets += redaction.secrets_of(url)
    return secrets


_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"'\\]+@", re.IGNORECASE)


def _masked_urls(text: str) -> str:
    """URLs without the login before their host, whoever they belong to."""
    return _URL.sub(rf"\1{_BLOT}@", text)


def _forms(secret: str) -> set[str]:
    """A secret as it may be written."""
    return {
        secret,
        urllib.parse.unquote(secret),
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }


def _is_secret(text: str) -> bool:
    return len(text) >= _SHORTEST_SECRET


def _document(text: str) -> Any:
    """What a text holds when it is a JSON object or array, None otherwise."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
