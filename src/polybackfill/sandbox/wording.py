# ruff: noqa: RUF001  the look-alike characters are the point
"""Invented titles, names and tags: every kind of text a reader must survive, NUL excepted."""

from __future__ import annotations

import random

TAGS = (
    "Crypto",
    "Sports",
    "Politics",
    "Weather",
    "Culture",
    "Economy",
    "Tech",
    "World",
    "Esports",
    "Science",
    "15M",
    "Up or Down",
    "Elections",
    "Soccer",
    "Basketball",
    "Tennis",
    "Fed Rates",
    "Movies",
    "Mentions",
    "All",
)
COINS = (("Bitcoin", "btc"), ("Ethereum", "eth"), ("Solana", "sol"), ("XRP", "xrp"))
TEAMS = (
    "ŠK Slovan",
    "Trnava",
    "Malmö FF",
    "Beşiktaş",
    "São Paulo",
    "Ferencváros",
    "Real Oviedo",
    "Żabki United",
    "Kópavogur",
    "Inter Turku",
)
PLACES = ("Dallas", "Karachi", "Reykjavík", "São Tomé", "Łódź", "Seoul", "Nairobi", "Zürich")
TOPICS = (
    'Will "{place} Express" open by {year}?',
    "Will it snow in {place} before {year}? ❄️",
    "Highest temperature in {place} above 30°C in {year}?",
    "Will {place}’s mayor resign in {year}?",
    " Will {place} host the {year} finals? ",
    "Will the {place} – {other} line open in {year}? 🚄🎉",
    "Will {place} ban scooters (again) in {year}?",
    "{place} population over 1M in {year}?\t",
)
STRANGE_TITLES = (
    "He said \"never\" \\ she said 'maybe' — “really?” 🤔🔥",
    "Control \x01\x1f\x7f characters, a\nline break and a\ttab",
    "日本の次の首相は？ 🇯🇵 / Кто победит? / من سيفوز؟",
    "   ",
    '<b>Will</b> this & that; DROP TABLE "markets"; -- ?',
)
_FIRST = ("quiet", "scary", "mealy", "late", "ultimate", "impolite", "favorable", "uncommon")
_SECOND = ("heron", "barrel", "oat", "sister", "webinar", "underpass", "otter", "lantern")


def pseudonym(rng: random.Random) -> str:
    """Two words, as the site makes them."""
    return f"{rng.choice(_FIRST).capitalize()}-{rng.choice(_SECOND).capitalize()}"


def name(rng: random.Random, wallet: str) -> str:
    """A display name: often none, sometimes the address itself, sometimes awkward."""
    draw = rng.random()
    if draw < 0.25:
        return ""
    if draw < 0.40:
        return f"{wallet}-{rng.randrange(10**12)}"
    if draw < 0.45:
        return rng.choice(("🐳 whale", 'the "real" one', "Ünïcödé", "tab\there", "0xdeadbeef"))
    return f"{rng.choice(_FIRST)}{rng.choice(_SECOND)}{rng.randrange(100)}"


def topic(rng: random.Random) -> str:
    """A yes/no question."""
    place, other = rng.sample(PLACES, 2)
    return rng.choice(TOPICS).format(place=place, other=other, year=rng.randint(2026, 2029))


def slug_of(title: str, number: int) -> str:
    """A slug that no other market shares."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in title.lower()).split()
    return "-".join([*words[:8], str(number)])
