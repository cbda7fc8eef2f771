"""What is secret in a URL is seen nowhere."""

from __future__ import annotations

import pytest

from polybackfill import redaction

SECRET = "S3cr3t-Pl4nted"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://data-api.polymarket.com", "https://data-api.polymarket.com"),
        ("http://127.0.0.1:8080/data", "http://127.0.0.1:8080/data"),
        (f"https://alice:{SECRET}@proxy.example/data", "https://***@proxy.example/data"),
        (f"https://{SECRET}@proxy.example", "https://***@proxy.example"),
        (f"https://:{SECRET}@proxy.example:444", "https://***@proxy.example:444"),
        (f"https://proxy.example/{SECRET}/v2", "https://proxy.example/***/v2"),
        (
            f"https://proxy.example/data?key={SECRET}&a=b",
            "https://proxy.example/data?key=***&a=***",
        ),
        (f"https://proxy.example/?{SECRET}", "https://proxy.example/?***"),
        (f"https://proxy.example/#{SECRET}", "https://proxy.example/"),
        (f"http://u:{SECRET}@[::1]:8123/data", "http://***@[::1]:8123/data"),
        (f"http://host:{SECRET}/", redaction.MASK),
        (f"http://[{SECRET}/", redaction.MASK),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert redaction.shown(url) == shown
    assert (
        SECRET not in repr(redaction.Url(url)) + str(redaction.Url(url)) + f"{redaction.Url(url)}"
    )
    assert redaction.Url(url).secret == url


@pytest.mark.parametrize(
    "text",
    [
        f"Cannot GET /{SECRET}/data/v2/trades",
        "https://p%C3%A4ss%2Fw%22ord@host",
        r'{"key": "p\u00e4ss/w\"ord"}',
        r'{"key": "päss/w\"ord"}',
        'päss/w"ord',
    ],
)
def test_what_a_url_hides_is_hidden_in_every_text(text):
    redaction.Url(f"https://proxy.example/{SECRET}?key=p%C3%A4ss%2Fw%22ord")
    assert SECRET not in redaction.redact(text)
    assert "ord" not in redaction.redact(text)
    assert redaction.MASK in redaction.redact(text)


def test_words_that_are_no_secrets_stay():
    redaction.Url("https://user:data@proxy.example/data/api?x=v2")
    assert redaction.redact("the data of the api, v2") == "the data of the api, v2"


def test_passwords_of_proxies_are_secrets_too(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy.example:3128")
    monkeypatch.setenv("all_proxy", "bob:An0ther1@proxy.example:3128")
    redaction.remember_proxies()
    assert redaction.redact(f"no way to {SECRET} or An0ther1") == "no way to *** or ***"


@pytest.mark.parametrize(
    "url",
    [
        f"https://hooks.slack.com/services/{SECRET}",
        f"https://discord.com/api/webhooks/{SECRET}",
        f"https://api.telegram.org/{SECRET}/sendMessage?chat_id={SECRET}",
        f"https://uptime.example/api/push/{SECRET}",
        f"https://hc-ping.com/ping/{SECRET}",
        f"https://ntfy.example/polybackfill/{SECRET}",
    ],
)
def test_the_words_of_receivers_of_alerts_stay_and_their_keys_do_not(url):
    redaction.Url(url)
    words = "services, webhooks, sendMessage, push, ping: polybackfill.service"
    assert redaction.redact(words) == words
    assert redaction.redact(f"no way to {url}").count(SECRET) == 0


@pytest.mark.parametrize("word", ["services", "webhooks", "sendMessage", "push", "polybackfill"])
def test_such_a_word_is_hidden_where_it_is_a_password(word):
    redaction.Url(f"https://me:{word}@proxy.example/{word}")
    assert redaction.redact(f"refused: me, {word}") == "refused: me, ***"


def test_values_of_a_document_are_redacted_and_its_names_stay():
    redaction.remember(["state", "1795", SECRET])
    document = {
        "state": f"the state of {SECRET}",
        "now": 17951795,
        "is_1795": True,
        "parts": [{"why": SECRET, "nothing": None}],
        "unknown_fields": {f"{SECRET}Field": 3},
    }
    assert redaction.redact_values(document) == {
        "state": "the *** of ***",
        "now": 17951795,
        "is_1795": True,
        "parts": [{"why": "***", "nothing": None}],
        "unknown_fields": {"***Field": 3},
    }
