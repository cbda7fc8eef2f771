# ruff: noqa: RUF001  the look-alike characters are the point
"""Invented titles, names and tags: every kind of text a reader must survive, NUL excepted."""

from __future__ import annotations

import random
import re

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
    "Earnings",
    "Finance",
    "Geopolitics",
    "All",
)
UP_DOWN_TAGS = ("Crypto", "15M", "Up or Down")
MATCH_TAGS = (
    ("Sports", "Soccer"),
    ("Sports", "Basketball"),
    ("Sports", "Tennis"),
    ("Sports", "Esports"),
)
ELECTION_TAGS = ("Politics", "Elections")
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
TOPICS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ('Will "{place} Express" open by {year}?', ("World",)),
    ("Will it snow in {place} before {year}? ❄️", ("Weather",)),
    ("Highest temperature in {place} above 30°C in {year}?", ("Weather",)),
    ("Will {place}’s mayor resign in {year}?", ("Politics",)),
    (" Will {place} host the {year} finals? ", ("Sports",)),
    ("Will the {place} – {other} line open in {year}? 🚄🎉", ("World", "Economy")),
    ("Will {place} ban scooters (again) in {year}?", ("Politics",)),
    ("{place} population over 1M in {year}?\t", ("Science",)),
    ("Will {place} Bank beat its quarterly earnings in {year}?", ("Earnings", "Finance")),
    ("Will {place} Motors miss its earnings in {year}?", ("Earnings",)),
    ("Will rates be cut in {place} before {year}?", ("Economy", "Fed Rates")),
    ("Will a film from {place} win best picture in {year}?", ("Culture", "Movies")),
    ("Will a lab in {place} release a model in {year}?", ("Tech",)),
    ("Will {place} and {other} sign a treaty in {year}?", ("Geopolitics", "World")),
    ("Will the mayor of {place} say “snow” in {year}?", ("Mentions",)),
)
STRANGE_TITLES = (
    "He said \"never\" \\ she said 'maybe' — “really?” 🤔🔥",
    "Control \x01\x1f\x7f characters, a\nline break and a\ttab",
    "日本の次の首相は？ 🇯🇵 / Кто победит? / من سيفوز؟",
    "   ",
    '<script>alert(1)</script> <b>Will</b> this & that; DROP TABLE "markets"; -- ?',
)
_WORD = re.compile("[a-z0-9]+")
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


def topic(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """A yes/no question and the tags of its event."""
    place, other = rng.sample(PLACES, 2)
    text, tags = rng.choice(TOPICS)
    return text.format(place=place, other=other, year=rng.randint(2026, 2029)), tags


def slug_of(title: str, number: int) -> str:
    """A slug that no other market shares."""
    words = _WORD.findall(title.lower())
    return "-".join([*words[:8], str(number)])
