"""Where the endpoint listens, and whom it knows."""

from __future__ import annotations

import pytest

from polybackfill import errors
from polybackfill.monitoring import listen_address

EVERYWHERE = "0.0.0.0"  # noqa: S104  (parsed, and never bound)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9464", "127.0.0.1", 9464),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:80", "127.0.0.1", 80),
        ("[::1]:9464", "::1", 9464),
        (f"{EVERYWHERE}:9464", EVERYWHERE, 9464),
        ("night.example:9464", "night.example", 9464),
    ],
)
def test_an_address_is_a_port_or_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert listen_address.parse_address(text) == listen_address.ListenAddress(host, port)


@pytest.mark.parametrize("text", ["", ":9464", "http://127.0.0.1:9464", "65536", "::1:9464", "a b"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(errors.Stop, match="BACKFILL_LISTEN") as stop:
        listen_address.parse_address(text)
    assert stop.value.exit_code == errors.EXIT_CONFIG


@pytest.mark.parametrize("host", [EVERYWHERE, "192.0.2.7", "::", "night.example"])
def test_beyond_loopback_a_token_of_ones_own_is_needed(host: str) -> None:
    address = listen_address.ListenAddress(host, 9464)
    with pytest.raises(errors.Stop, match="BACKFILL_LISTEN_TOKEN"):
        listen_address.require_own_token(address, "")
    listen_address.require_own_token(address, "0123456789abcdef")


def test_a_short_token_is_refused_everywhere() -> None:
    address = listen_address.ListenAddress("127.0.0.1", 9464)
    listen_address.require_own_token(address, "")
    with pytest.raises(errors.Stop, match="too short") as stop:
        listen_address.require_own_token(address, "0123456789abcde")
    assert "0123456789abcde" not in str(stop.value)


def access(host: str = "127.0.0.1") -> listen_address.Access:
    return listen_address.Access(listen_address.ListenAddress(host, 9464), "0123456789abcdef")


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("127.0.0.1:9464", True),
        ("127.0.0.1", True),
        ("localhost:9464", True),
        ("LOCALHOST", True),
        ("[::1]:9464", True),
        ("", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example:9464", False),
        ("192.0.2.7:9464", False),
        ("evil.example#127.0.0.1", False),
        ("[::1", False),
    ],
)
def test_on_loopback_only_its_own_names_are_known(header: str, known: bool) -> None:
    assert access().knows_host(header) is known


def test_beyond_loopback_addresses_and_its_own_names_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen_address.socket, "gethostname", lambda: "Backfill")
    for header in (
        "192.0.2.7:9464",
        "backfill:9464",
        "night.example",
        "localhost",
        "[2001:db8::1]",
    ):
        assert access("night.example").knows_host(header), header
    assert not access("night.example").knows_host("evil.example")


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (None, True),
        ("http://127.0.0.1:9464", True),
        ("http://127.0.0.1:9465", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:9464", False),
    ],
)
def test_a_page_of_another_site_is_known_by_its_origin(origin: str | None, known: bool) -> None:
    assert access().knows_origin(origin, "127.0.0.1:9464") is known


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("Bearer 0123456789abcdef", True),
        ("bearer  0123456789abcdef ", True),
        ("Bearer 0123456789abcde", False),
        ("Bearer ", False),
        ("Basic 0123456789abcdef", False),
        ("0123456789abcdef", False),
        ("Bearer \udcff", False),
        (None, False),
    ],
)
def test_only_the_token_itself_is_known(header: str | None, known: bool) -> None:
    assert access().knows_token(header) is known
