"""Signed cursors: base64url without padding of `{"data":{"type","params"},"sig"}`.

Shape as observed on the live service; clients must treat it as opaque.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

import orjson

from polymarket_sandbox import responses

Params = Mapping[str, object]


class Signer:
    """Makes and checks the cursors of one sandbox; its key depends on the seed alone."""

    def __init__(self, seed: int) -> None:
        self._key = hashlib.sha256(f"cursor-{seed}".encode()).digest()

    def seal(self, kind: str, params: Params) -> str:
        """A cursor of one endpoint type."""
        content = {"type": kind, "params": params}
        signed = orjson.dumps({"data": content, "sig": self._signature(content)})
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def open(self, kind: str, cursor: str) -> dict[str, object]:
        """The params of a cursor of this type. Raises ApiError for any other text."""
        content = self._content(cursor)
        if content.get("type") != kind:
            raise responses.refused(f"cursor belongs to another endpoint than {kind}")
        params = content["params"]
        if not isinstance(params, dict):
            raise responses.refused("invalid cursor", parameter="cursor")
        return params

    def _content(self, cursor: str) -> dict[str, object]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            envelope = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            content, signature = envelope["data"], envelope["sig"]
            genuine = hmac.compare_digest(self._signature(content), signature)
        except (binascii.Error, ValueError, KeyError, TypeError) as damage:
            raise responses.refused("invalid cursor", parameter="cursor") from damage
        if not genuine or not isinstance(content, dict):
            raise responses.refused("invalid cursor signature", parameter="cursor")
        return content

    def _signature(self, content: object) -> str:
        return hmac.new(self._key, orjson.dumps(content), hashlib.sha256).hexdigest()[:32]


def number(params: Params, name: str) -> int:
    """An integer parameter, written as a number or as text."""
    return int(str(params[name]))
