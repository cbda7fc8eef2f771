"""Render rows as JSON, put together from pieces that were rendered once.

A page is one `b"".join` over a flat list: constant pieces, one piece per wallet, market or type,
and numbers rendered in bulk. That is what keeps a row under a microsecond.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from polymarket_sandbox import rows

UNKNOWN_OUTCOME = 999  # Data API v2: outcome_index of a token not enriched yet


@dataclass(frozen=True, slots=True)
class Profile:
    """What the API shows of a wallet; the texts are today's, whatever the row's age."""

    wallet: str
    name: str = ""
    pseudonym: str = ""
    bio: str = ""
    profile_image: str = ""
    profile_image_optimized: str = ""


@dataclass(frozen=True, slots=True)
class Display:
    """What the API shows of a market and outcome beside one row."""

    condition_id: str = ""
    token_id: str = ""
    title: str = ""
    slug: str = ""
    icon: str = ""
    event_slug: str = ""
    outcome: str = ""
    outcome_index: int = UNKNOWN_OUTCOME


def _inner(fields: dict[str, object]) -> bytes:
    """The members of a JSON object without its braces."""
    return orjson.dumps(fields)[1:-1]


def _pieces(texts: Sequence[bytes]) -> NDArray[np.object_]:
    held = np.empty(len(texts), dtype=np.object_)
    held[:] = texts
    return held


def _numbers(values: NDArray[np.generic]) -> list[bytes]:
    rendered = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return rendered[1:-1].split(b",")


_SIDES = _pieces([name.encode() for name in rows.SIDES])
_TRADE_SIDES = _pieces([f'side":"{name}'.encode() for name in rows.SIDES])
_KINDS = _pieces([f'"type":"{name}","size":'.encode() for name in rows.KINDS])
_COMBO = _pieces([b"},", b',"is_combo":true},'])


class Renderer:
    """The pieces of one universe. `tx_hex`: 64 hex digits per transaction, end to end."""

    def __init__(
        self,
        columns: rows.Rows,
        profiles: Sequence[Profile],
        displays: Sequence[Display],
        tx_hex: bytes,
    ) -> None:
        self._rows = columns
        self._tx_hex = tx_hex
        self._wallet_head = _pieces([_wallet_head(p) for p in profiles])
        self._wallet_tail = _pieces([_inner(_profile_texts(p)) for p in profiles])
        self._trade_ids = _pieces([_trade_ids(d) for d in displays])
        self._trade_texts = _pieces([_trade_texts(d) for d in displays])
        self._activity_condition = _pieces([_condition(d) for d in displays])
        self._activity_token = _pieces([_token(d) for d in displays])
        self._activity_texts = _pieces([_activity_texts(d) for d in displays])

    def over(self, columns: rows.Rows) -> Renderer:
        """The same pieces for other rows of the universe."""
        renderer = copy.copy(self)
        renderer._rows = columns
        return renderer

    def transaction(self, number: int) -> bytes:
        """The 64 hex digits of one transaction."""
        return self._tx_hex[64 * number : 64 * number + 64]

    def trades(self, chosen: rows.SmallInts) -> bytes:
        """`[{...},...]` of trade rows in the given order."""
        if not len(chosen):
            return b"[]"
        table = self._rows
        profile, display = table.profile[chosen], table.display[chosen]
        width = 11
        flat: list[bytes] = [b""] * (width * len(chosen))
        flat[0::width] = self._wallet_head[profile].tolist()
        flat[1::width] = _TRADE_SIDES[table.side[chosen]].tolist()
        flat[2::width] = self._trade_ids[display].tolist()
        flat[3::width] = _numbers(table.micro[chosen] / 1e6)
        flat[4::width] = [b',"price":'] * len(chosen)
        flat[5::width] = _numbers(table.price[chosen])
        flat[6::width] = [b',"timestamp":'] * len(chosen)
        flat[7::width] = _numbers(table.ts[chosen])
        flat[8::width] = self._trade_texts[display].tolist()
        flat[9::width] = self._wallet_tail[profile].tolist()
        flat[10::width] = self._closings(table.tx[chosen], b'"},')
        return _array(flat)

    def activity(self, chosen: rows.SmallInts) -> bytes:
        """`[{...},...]` of activity rows in the given order."""
        if not len(chosen):
            return b"[]"
        table = self._rows
        profile, display = table.profile[chosen], table.display[chosen]
        width = 15
        flat: list[bytes] = [b""] * (width * len(chosen))
        flat[0::width] = self._wallet_head[profile].tolist()
        flat[1::width] = [b'timestamp":'] * len(chosen)
        flat[2::width] = _numbers(table.ts[chosen])
        flat[3::width] = self._activity_condition[display].tolist()
        flat[4::width] = _KINDS[table.kind[chosen]].tolist()
        flat[5::width] = _numbers(table.micro[chosen] / 1e6)
        flat[6::width] = [b',"usdc_size":'] * len(chosen)
        flat[7::width] = _numbers(table.usdc[chosen])
        flat[8::width] = self._closings(table.tx[chosen], b'","price":')
        flat[9::width] = _numbers(table.price[chosen])
        flat[10::width] = self._activity_token[display].tolist()
        flat[11::width] = _SIDES[table.side[chosen]].tolist()
        flat[12::width] = self._activity_texts[display].tolist()
        flat[13::width] = self._wallet_tail[profile].tolist()
        flat[14::width] = _COMBO[table.combo[chosen].view(np.uint8)].tolist()
        return _array(flat)

    def _closings(self, numbers: rows.SmallInts, closing: bytes) -> list[bytes]:
        tx_hex = self._tx_hex
        return [
            b',"transaction_hash":"0x' + tx_hex[start : start + 64] + closing
            for start in (numbers.astype(np.int64) * 64).tolist()
        ]


def _array(flat: list[bytes]) -> bytes:
    return b"[" + b"".join(flat)[:-1] + b"]"


def _wallet_head(profile: Profile) -> bytes:
    # Ends inside the next key's quotes: "side" for trades, "timestamp" for activity.
    return b'{"proxy_wallet":"' + profile.wallet.encode() + b'","'


def _profile_texts(profile: Profile) -> dict[str, object]:
    return {
        "name": profile.name,
        "pseudonym": profile.pseudonym,
        "bio": profile.bio,
        "profile_image": profile.profile_image,
        "profile_image_optimized": profile.profile_image_optimized,
    }


def _trade_ids(display: Display) -> bytes:
    ids = {"token_id": display.token_id, "condition_id": display.condition_id}
    return b'",' + _inner(dict(ids)) + b',"size":'


def _market_texts(display: Display) -> dict[str, object]:
    return {
        "title": display.title,
        "slug": display.slug,
        "icon": display.icon,
        "event_slug": display.event_slug,
        "outcome": display.outcome,
    }


def _trade_texts(display: Display) -> bytes:
    texts = {**_market_texts(display), "outcome_index": display.outcome_index}
    return b"," + _inner(texts) + b","


def _condition(display: Display) -> bytes:
    return b"," + _inner({"condition_id": display.condition_id}) + b","


def _token(display: Display) -> bytes:
    return b"," + _inner({"token_id": display.token_id}) + b',"side":"'


def _activity_texts(display: Display) -> bytes:
    texts = {"outcome_index": display.outcome_index, **_market_texts(display)}
    return b'",' + _inner(texts) + b","
