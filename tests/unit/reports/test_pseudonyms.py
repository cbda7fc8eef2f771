"""What leaves the machine names nobody and holds no secret."""

from __future__ import annotations

import json

import pytest

from polybackfill.reports import pseudonyms

WALLET = "4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68"
CHECKSUMMED = "4F1a09C2bE77d3E5528bB0f1A6d0C93e417B2a68"
CONDITION = "8c1fd02e5b6a497730a0e84d92f7714bb5e63ca19d20c67f3ba5510e7d48a92c"
TX = "0b7e5d61c3aa48f290d7c4e8136bf52a9e0d7713f46ca2b85e19d03fc7a6412e"
FIRST = f"face{1:036d}"
ROW = {
    "proxy_wallet": f"0x{WALLET}",
    "name": "quiet-heron",
    "pseudonym": "Quiet-Heron",
    "bio": "I trade",
    "profile_image": "https://images.example.org/heron.png",
    "condition_id": f"0x{CONDITION}",
    "transaction_hash": f"0x{TX}",
    "title": "Will it rain?",
}


@pytest.mark.parametrize(
    "text",
    [
        f"0x{WALLET}",
        WALLET,
        f"0x{CHECKSUMMED}",
        CHECKSUMMED.upper(),
        f"0X{WALLET.upper()}",
        f"GET http://h/v2/activity?user=0x{WALLET}&start=1",
        f"user%3D{WALLET}%26",
        f"user%3D0x{WALLET}",
        f"wallets:{WALLET}@20261121",
        f"'{WALLET}'",
        f"0x{'0' * 24}{WALLET}",
        json.dumps({"inner": json.dumps({"w": f"0x{WALLET}"})}),
    ],
)
def test_a_wallet_in_any_form(text: str) -> None:
    names = pseudonyms.Pseudonyms()
    told = names.text(text)
    assert WALLET not in told.lower()
    assert told.lower() == text.lower().replace(WALLET, FIRST)
    assert names.text(f"0x{CHECKSUMMED}") == f"0x{FIRST}", "the same everywhere"
    assert names.replaced["wallets"] == 1


def test_two_wallets_stay_two() -> None:
    names = pseudonyms.Pseudonyms()
    told = names.text(f"{WALLET} and {WALLET[::-1]} and {WALLET.upper()}")
    assert told == f"{FIRST} and face{2:036d} and {FIRST}"
    assert names.text(told) == told, "what has another name keeps it"


def test_conditions_and_token_ids_stay() -> None:
    names = pseudonyms.Pseudonyms()
    token = "71204488916630214479655120933417758820161937054408273610459981266307418825513"
    text = f"0x{CONDITION} {token} {CONDITION[:62]}"
    assert names.text(text) == text


@pytest.mark.parametrize("digits", [8, 20, 39])
def test_what_a_cut_message_leaves_of_a_wallet(digits: int) -> None:
    told = pseudonyms.Pseudonyms().text(f"user=0x{WALLET[:digits]}…")
    assert WALLET[:digits] not in told


def test_the_fields_of_people() -> None:
    names = pseudonyms.Pseudonyms()
    rows = {"data": [ROW, {**ROW, "name": "other"}], "mechanisms": [{"name": "activity_feed"}]}
    names.learn(rows)
    told = json.dumps(names.document(rows))
    for secret in (WALLET, "quiet-heron", "Quiet-Heron", "I trade", "heron.png", TX, '"other"'):
        assert secret not in told
    for kept in (CONDITION, "Will it rain?", "activity_feed"):
        assert kept in told
    first, second = names.document(rows)["data"]
    assert first["pseudonym"] == second["pseudonym"] != first["name"]


def test_people_in_rows_that_are_text() -> None:
    """A row set aside is JSON in a string; one that was cut off is not even that."""
    names = pseudonyms.Pseudonyms()
    whole, cut = json.dumps(ROW), json.dumps(ROW)[:-20]
    nested = json.dumps({"raw": whole})
    held = [
        {"raw": whole},
        {"raw": cut},
        {"line": nested},
        {"event": "x", "text": f"@{'quiet-heron'}"},
    ]
    names.learn(held)
    told = json.dumps(names.document(held))
    for secret in (WALLET, "quiet-heron", "Quiet-Heron", "I trade", "heron.png", TX):
        assert secret not in told
    assert CONDITION in told


def test_a_name_that_is_a_part_of_another() -> None:
    names = pseudonyms.Pseudonyms()
    names.learn([{**ROW, "name": "heron", "pseudonym": "quiet-heron-of-the-lake"}])
    assert names.text("by quiet-heron-of-the-lake and heron") == "by person-2 and person-1"


def test_a_transaction_is_known_everywhere_once_a_field_names_it() -> None:
    names = pseudonyms.Pseudonyms()
    names.learn([ROW])
    assert TX not in names.text(f"tx 0x{TX.upper()} failed").lower()


def test_secrets_in_any_spelling() -> None:
    names = pseudonyms.Pseudonyms(["p@ss/wörd", "S3cr3tPlanted"])
    text = 'p@ss/wörd p%40ss%2Fw%C3%B6rd p%40ss/w%C3%B6rd "p@ss/w\\u00f6rd" xS3cr3tPlantedx'
    told = names.text(text)
    assert "rd" not in told
    assert "S3cr3t" not in told


def test_urls_lose_their_login_whoever_they_belong_to() -> None:
    told = pseudonyms.Pseudonyms().text("proxy http://bob:hunter2@proxy.example:3128/ failed")
    assert told == "proxy http://…@proxy.example:3128/ failed"


def test_what_counts_as_a_secret() -> None:
    environment = {
        "CLICKHOUSE_PASSWORD": "PwPlanted77",
        "AWS_SECRET_ACCESS_KEY": "aws-planted",
        "HTTPS_PROXY": "http://eve:proxy-planted@proxy:3128",
        "PATH": "/usr/bin",
        "USE_TOKEN": "true",
    }
    urls = [
        "https://alice:url-planted@h/data?key=query-planted",
        "https://h/0123456789abcdef0123/v",
    ]
    found = pseudonyms.list_secrets(environment, urls)
    expected = {"PwPlanted77", "aws-planted", "proxy-planted", "url-planted", "query-planted"}
    assert expected | {"0123456789abcdef0123"} <= set(found)
    assert not {"true", "/usr/bin", "data"} & set(found)
