"""What people have at hand for a wallet or a market: an id, a slug, a number, a page's address.

The addresses are those of polymarket.com in 2026: /event/EVENT, /event/EVENT/MARKET,
/market/MARKET, /sports/…/EVENT, /profile/0x…, /@NAME, each also behind a language (/de/event/…).
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from enum import Enum

from polybackfill import errors, records

_SITE = re.compile(r"(?:https?://)?(?:[\w-]+\.)*polymarket\.com(?=[/?#]|$)", re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2}(?:-[a-z]{2,4})?", re.IGNORECASE)
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]*", re.IGNORECASE)
# Without a hyphen and so long, it is an id that lacks a digit rather than a slug.
_ID_CHARS = 20


class Kind(Enum):
    """What a name names. SLUG: a market or an event, nobody knows which."""

    WALLET = "wallet"
    CONDITION = "condition"
    NUMBER = "market number"
    MARKET = "market"
    EVENT = "event"
    SLUG = "market or event"
    PROFILE = "profile"


WALLETS = frozenset({Kind.WALLET, Kind.PROFILE})
CONDITIONS = frozenset(Kind) - WALLETS


@dataclass(frozen=True)
class Name:
    """One name. `text`: the stored form of an id, a slug, a number, or a profile's name."""

    kind: Kind
    text: str


def read(text: str) -> Name | None:
    """The name that a text is; None for one that names nothing."""
    bare = text.strip()
    site = _SITE.match(bare)
    if site is not None:
        return _of_address(bare[site.end() :])
    if bare.startswith("@"):
        return _profile(bare)
    return _id(bare) or _slug(bare)


def is_page(text: str) -> bool:
    """An address on polymarket.com, whether it names something or not."""
    return _SITE.match(text.strip()) is not None


def _id(text: str) -> Name | None:
    for kind, normalise in (
        (Kind.WALLET, records.normalise_wallet),
        (Kind.CONDITION, records.normalise_condition),
    ):
        try:
            return Name(kind, normalise(text))
        except errors.Reject:
            continue
    return None


def _slug(text: str) -> Name | None:
    if not _SLUG.fullmatch(text) or text[:2].lower() == "0x":
        return None
    if len(text) < _ID_CHARS and text.isdecimal():
        return Name(Kind.NUMBER, text)
    return Name(Kind.SLUG, text) if "-" in text or len(text) < _ID_CHARS else None


def _profile(text: str) -> Name | None:
    name = text.removeprefix("@").strip()
    by_id = _id(name)
    if by_id is not None:
        return by_id if by_id.kind is Kind.WALLET else None
    return Name(Kind.PROFILE, name) if name else None


def _of_address(rest: str) -> Name | None:
    """The name in the path of a page."""
    path = urllib.parse.urlsplit(rest).path
    steps = [urllib.parse.unquote(step) for step in path.split("/") if step]
    if len(steps) > 1 and _LANGUAGE.fullmatch(steps[0]):
        del steps[0]
    name = None
    match [*(step.lower() for step in steps[:1]), *steps[1:]]:
        case [owner] if owner.startswith("@"):
            name = _profile(steps[0])
        case ["profile", owner, *_]:
            name = _profile(owner)
        case ["event", _, market, *_] | ["market", market, *_]:
            name = Name(Kind.MARKET, market)
        case ["event", event]:
            name = Name(Kind.EVENT, event)
        case ["sports" | "esports", *_, event] if "-" in event:
            name = Name(Kind.EVENT, event)
    return name
