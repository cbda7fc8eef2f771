"""What people have at hand is read for what it names."""

from __future__ import annotations

import pytest

from polybackfill.polymarket import names
from polybackfill.polymarket.names import Kind, Name

W, C = "ab" * 20, "1f" * 32
SITE = "https://polymarket.com"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"0x{W.upper()}", Name(Kind.WALLET, W)),
        (f" {W} ", Name(Kind.WALLET, W)),
        (f"0x{C}", Name(Kind.CONDITION, C)),
        ("01" + "ab" * 30, Name(Kind.CONDITION, "01" + "ab" * 30 + "00")),
        ("253591", Name(Kind.NUMBER, "253591")),
        ("btc-updown-15m-1790619300", Name(Kind.SLUG, "btc-updown-15m-1790619300")),
        ("m1", Name(Kind.SLUG, "m1")),
        ("@quiet-heron", Name(Kind.PROFILE, "quiet-heron")),
        ("@Ünïcödé", Name(Kind.PROFILE, "Ünïcödé")),
        (f"@0x{W}", Name(Kind.WALLET, W)),
        (f"{SITE}/profile/0x{W}?tab=activity", Name(Kind.WALLET, W)),
        (f"{SITE}/profile/@quiet-heron", Name(Kind.PROFILE, "quiet-heron")),
        (f"{SITE}/@quiet%2Dheron", Name(Kind.PROFILE, "quiet-heron")),
        (f"{SITE}/de/@quiet-heron#positions", Name(Kind.PROFILE, "quiet-heron")),
        (f"{SITE}/event/who-wins", Name(Kind.EVENT, "who-wins")),
        (f"{SITE}/event/who-wins/?tid=17", Name(Kind.EVENT, "who-wins")),
        (f"{SITE}/event/who-wins/will-a-win?tid=17#comments", Name(Kind.MARKET, "will-a-win")),
        ("polymarket.com/pt-br/event/who-wins/will-a-win", Name(Kind.MARKET, "will-a-win")),
        ("http://www.POLYMARKET.com/market/will-a-win", Name(Kind.MARKET, "will-a-win")),
        (f"{SITE}/zh/market/will-a-win/", Name(Kind.MARKET, "will-a-win")),
        (f"{SITE}/sports/epl/che-ars-2026-11-29", Name(Kind.EVENT, "che-ars-2026-11-29")),
    ],
)
def test_what_names_something(text: str, found: Name) -> None:
    assert names.read(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "@", "0x12", f"0x{W}0", W[1:], C[1:], "z" * 40, "two words", "../list.txt",
        "a.csv", SITE, f"{SITE}/", f"{SITE}/event", f"{SITE}/event/", f"{SITE}/portfolio",
        f"{SITE}/sports/epl", "https://example.com/event/who-wins",
        "https://polymarket.com.example/event/who-wins", f"@0x{C}", "1" * 21,
    ],
)  # fmt: skip
def test_what_names_nothing(text: str) -> None:
    assert names.read(text) is None
