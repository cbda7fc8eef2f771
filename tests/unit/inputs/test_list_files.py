"""Lists as other programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill import errors
from polybackfill.inputs import key_input, list_files
from polybackfill.polymarket import names

W1, W2, C1 = "0x" + "ab" * 20, "0x" + "cd" * 20, "0x" + "1f" * 32
BARE = [text[2:] for text in (W1, W2, C1)]


def planned(tmp_path: Path, content: str | bytes, name: str = "list.csv") -> key_input.GivenKeys:
    """The keys of a plan file that holds ids alone."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return key_input.plan_keys(key_input.from_file(file), {})


@pytest.mark.parametrize(
    "content",
    [
        f"{W1},120,35.5\n{W2}\n{C1},7",
        f"\ufeff{W1},120,35.5\r\n{W2}\r\n{C1},7\r\n",
        f"{W1};120;35,5\n{W2};;\n{C1};7;".replace("35,5", "35.5"),
        f"{W1}\t120\t35.5\n{W2}\n{C1}\t7",
        f'"{W1}","120","35.5"\n"{W2}"\n"{C1}","7"',
        f"# first\n{W1},120,$35.5  # big\n\n  {W2} # two, with a comma\n{C1}, 7.0 ,nan\n",
        f"key,trades,volume\n{W1},120,35.5\n{W2},,\\N\n{C1},7,NULL",
        f"{W1},120,35.5\n{W2},NaN,\n{C1},7,-\n,,\n",
        f"{W1}|120|35.5\n{W2}||\n{C1}|7|",
    ],
    ids=["plain", "windows", "semicolons", "tabs", "quotes", "comments", "header", "nan", "pipes"],
)
def test_ids_and_sizes(tmp_path: Path, content: str) -> None:
    keys = planned(tmp_path, content)
    assert keys.wallets == [key_input.PlannedKey(BARE[0], 120, 35.5), key_input.PlannedKey(BARE[1])]
    assert keys.conditions == [key_input.PlannedKey(BARE[2], 7)]


def test_utf_16_as_excel_writes_it(tmp_path: Path) -> None:
    assert planned(tmp_path, f"wallet\ttrades\r\n{W1}\t3\r\n".encode("utf-16")).wallets == [
        key_input.PlannedKey(BARE[0], 3)
    ]


@pytest.mark.parametrize("column", ["wallet", "Address", "proxyWallet", "wallet_address", "USER"])
def test_the_column_of_wallets_is_found_by_its_name(tmp_path: Path, column: str) -> None:
    keys = planned(tmp_path, f'rank,name,{column},volume\n1,"a, b",{W1},"1,234.5"\n2,x,{W2},2\n')
    assert keys.wallets == [
        key_input.PlannedKey(BARE[0], 0, 1234.5),
        key_input.PlannedKey(BARE[1], 0, 2),
    ]
    assert keys.conditions == []


@pytest.mark.parametrize("column", ["condition_id", "conditionId", "market", "Condition ID"])
def test_the_column_of_markets_is_found_by_its_name(tmp_path: Path, column: str) -> None:
    keys = planned(tmp_path, f'id;question;{column}\n12;"Will the #1; seed win?";{C1}\n')
    assert keys.conditions == [key_input.PlannedKey(BARE[2])]


def test_a_multi_line_question_in_quotes_is_one_row(tmp_path: Path) -> None:
    keys = planned(tmp_path, f'question,conditionId\n"Will the #1 seed\n# win, ""it""?",{C1}\n')
    assert keys.conditions == [key_input.PlannedKey(BARE[2])]


def test_a_table_of_trades_names_both(tmp_path: Path) -> None:
    content = f"proxyWallet,conditionId,usd\n{W1},{C1},5\n{W2},{C1},6\n"
    keys = planned(tmp_path, content)
    assert keys.wallets == [key_input.PlannedKey(BARE[0]), key_input.PlannedKey(BARE[1])]
    assert keys.conditions == [key_input.PlannedKey(BARE[2])]
    file = str(tmp_path / "list.csv")
    assert key_input.resolve_keys(key_input.wallets([file]), {}) == BARE[:2]
    assert key_input.resolve_keys(key_input.conditions([file]), {}) == BARE[2:]


@pytest.mark.parametrize(
    "content",
    [
        f'{{"wallet": "{W1}", "trades": 120}}\n{{"wallet": "{W2}"}}\n',
        f'[{{"proxyWallet": "{W1}", "trades": 120}}, "{W2}"]',
        f'{{"generated_at": 1, "wallets": [{{"address": "{W1}", "trades": "120"}}, "{W2}"]}}',
    ],
)
def test_json(tmp_path: Path, content: str) -> None:
    keys = planned(tmp_path, content, "list.json")
    assert keys.wallets == [key_input.PlannedKey(BARE[0], 120), key_input.PlannedKey(BARE[1])]


def test_pages_slugs_and_numbers_are_names_of_markets(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(
        "https://polymarket.com/event/a-b/c-d?x=1#comments\n253591\nwill-a-win,4\n@heron\n"
    )
    entries = key_input.from_file(file)
    kinds = [entry.name.kind for entry in entries]
    assert kinds == [
        names.Kind.MARKET, names.Kind.NUMBER, names.Kind.SLUG, names.Kind.PROFILE,
    ]  # fmt: skip
    found = {
        entries[0].name: [BARE[2]], entries[1].name: [BARE[2]],
        entries[2].name: ["2f" * 32, "3f" * 32], entries[3].name: [BARE[0]],
    }  # fmt: skip
    keys = key_input.plan_keys(entries, found)
    assert keys.wallets == [key_input.PlannedKey(BARE[0])]
    assert keys.conditions == [key_input.PlannedKey(key) for key in (BARE[2], "2f" * 32, "3f" * 32)]


@pytest.mark.parametrize("size", ["1e400", "inf", "-inf", "-1", "-5", "1e30", "many", "5 or 6"])
@pytest.mark.parametrize("column", [1, 2])
def test_a_size_that_cannot_be_is_refused_with_file_and_line(
    tmp_path: Path, size: str, column: int
) -> None:
    cells = [W2, "1", "1"]
    cells[column] = size
    with pytest.raises(errors.Stop) as refusal:
        planned(tmp_path, f"{W1}\n{','.join(cells)}\n")
    assert f"{tmp_path}/list.csv, line 2" in str(refusal.value)
    assert size in str(refusal.value)
    assert refusal.value.exit_code == errors.EXIT_CONFIG


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"name,question\n{W1[:-1]},x\n", "line 2"),
        (f"wallet,trades\n,5\n{W1},5\n", "line 2: no wallet and no market"),
        (f"{W1}\n{C1[:-1]}\n", "line 2"),
        ('{"wallet": 1}\n{"wallet": ', "line 1"),
        ("\x00\x01", "line 1"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(errors.Stop) as refusal:
        planned(tmp_path, content)
    assert said in str(refusal.value)


def test_a_file_without_a_column_of_wallets_says_how_one_may_be_called(tmp_path: Path) -> None:
    file = tmp_path / "markets.csv"
    file.write_text(f"condition_id,question\n{C1},x\n")
    with pytest.raises(errors.Stop, match=r"line 2: no wallet .* proxyWallet"):
        key_input.wallets([str(file)])


def test_rows_say_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "l.txt"
    file.write_text(f"# nobody\n\n{W1}\n{W2}\n")
    assert [row.where for row in list_files.read(file)] == [f"{file}, line 3", f"{file}, line 4"]
