"""CLICKHOUSE_HOST as people write it."""

from __future__ import annotations

import pytest

from polybackfill import errors, settings
from polybackfill.run import bootstrap


def loaded(monkeypatch: pytest.MonkeyPatch, **environment: str) -> settings.ClickHouseSettings:
    for name, value in environment.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", value)
    return settings.load({}).clickhouse


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("db.example", "", "http://db.example:8123/"),
        (" db.example ", "", "http://db.example:8123/"),
        ("db.example", "8443", "https://db.example:8443/"),
        ("db.example:9123", "", "http://db.example:9123/"),
        ("db.example:9123", "9123", "http://db.example:9123/"),
        ("::1", "", "http://[::1]:8123/"),
        ("[::1]", "8862", "http://[::1]:8862/"),
        ("[::1]:8862", "", "http://[::1]:8862/"),
        ("http://[::1]:8862", "", "http://[::1]:8862/"),
        ("2001:db8::7", "8443", "https://[2001:db8::7]:8443/"),
        ("http://127.0.0.1", "8861", "http://127.0.0.1:8861/"),
        ("http://127.0.0.1:8861/", "8861", "http://127.0.0.1:8861/"),
        ("https://db.example", "", "https://db.example:8443/"),
        ("https://db.example:443/", "", "https://db.example:443/"),
        ("http://db.example:8443", "", "http://db.example:8443/"),
        ("HTTPS://db.example", "9000", "https://db.example:9000/"),
    ],
)
def test_where_the_store_is(monkeypatch, host, port, url):
    monkeypatch.setenv("CLICKHOUSE_HOST", host)
    if port:
        monkeypatch.setenv("CLICKHOUSE_PORT", port)
    address = bootstrap.store_address(settings.load({}))
    scheme = "https" if address.tls else "http"
    assert f"{scheme}://{address.url_host}:{address.server_port}/" == url


def test_a_url_tells_user_password_and_database(monkeypatch):
    chosen = loaded(monkeypatch, host="https://night:p%40ss%2Fw0rd@db.example/markets")
    assert (chosen.host, chosen.user, chosen.database) == ("db.example", "night", "markets")
    assert chosen.password.get_secret_value() == "p@ss/w0rd"
    assert chosen.secure is True
    assert "w0rd" not in repr(chosen)


@pytest.mark.parametrize(
    ("host", "other", "value"),
    [
        ("db.example:9123", "port", "8123"),
        ("https://127.0.0.1:8443/", "port", "8861"),
        ("https://db.example", "secure", "false"),
        ("http://db.example", "secure", "true"),
        ("http://one@db.example", "user", "two"),
        ("http://one:Secr3tA@db.example", "password", "Secr3tB"),
        ("http://db.example/one", "database", "two"),
    ],
)
def test_what_contradicts_another_setting_is_refused_in_words(monkeypatch, host, other, value):
    with pytest.raises(errors.Stop, match=f"CLICKHOUSE_{other.upper()}.*leave one") as told:
        loaded(monkeypatch, host=host, **{other: value})
    assert told.value.exit_code == errors.EXIT_CONFIG
    assert "CLICKHOUSE_HOST" in str(told.value)
    assert "Secr3t" not in str(told.value)


@pytest.mark.parametrize(
    "host",
    [
        "ftp://db.example",
        "tcp://db.example:9000",
        "http://",
        "http:///database",
        "db.example/path",
        "user@db.example",
        "db.example:port",
        "db.example:99999",
        "http://db.example/a/b",
        "http://db.example/?compress=1",
        "[::1",
        "two words",
    ],
)
def test_what_is_no_host_is_refused_in_words(monkeypatch, host):
    with pytest.raises(errors.Stop, match=r"CLICKHOUSE_HOST .* is no host") as told:
        loaded(monkeypatch, host=host)
    assert told.value.exit_code == errors.EXIT_CONFIG
