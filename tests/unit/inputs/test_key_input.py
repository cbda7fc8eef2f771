"""Lists of wallets and conditions: every form people type, and refusals that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybackfill import errors
from polybackfill.inputs import key_input

W1, W2 = "0x" + "ab" * 20, "cd" * 20
C1 = "0x" + "1f" * 32


def test_repeated_flags_comma_lists_and_files_mix(tmp_path: Path) -> None:
    file = tmp_path / "wallets.txt"
    file.write_text(f"# mine\n{W2.upper()}\n\n{W1}  # again\n")
    assert key_input.resolve_keys(key_input.wallets([f"{W1},{W2}", str(file)]), {}) == [
        "ab" * 20,
        "cd" * 20,
    ]


def test_a_plan_file_may_hold_wallets_conditions_and_contracts(tmp_path: Path) -> None:
    file = tmp_path / "plan.txt"
    exchange = "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E"
    file.write_text(f"{W1},120,35.5\n{C1}\n{exchange}\n{W1}\n")
    keys = key_input.plan_keys(key_input.from_file(file), {})
    assert keys.wallets == [key_input.PlannedKey("ab" * 20, 120, 35.5)]
    assert keys.conditions == [key_input.PlannedKey("1f" * 32)]
    assert keys.excluded == [exchange[2:].lower()]


@pytest.mark.parametrize("bad", ["0x12", "z" * 40, "0x" + "ab" * 21, "0x" + "ee" * 20 + ",many"])
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path: Path, bad: str) -> None:
    file = tmp_path / "plan.txt"
    file.write_text(f"{W1}\n{bad}\n")
    with pytest.raises(errors.Stop) as refusal:
        key_input.from_file(file)
    assert f"{file}, line 2" in str(refusal.value)
    assert bad.rsplit(",", maxsplit=1)[-1] in str(refusal.value)
    assert refusal.value.exit_code == errors.EXIT_CONFIG


def test_a_missing_file_is_not_taken_for_a_wallet() -> None:
    with pytest.raises(errors.Stop, match=r"lists/wallets.txt: no such file"):
        key_input.wallets(["lists/wallets.txt"])


def test_contracts_are_no_wallets() -> None:
    kept, left_out = key_input.without_contracts([W2, "4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e"])
    assert kept == [W2]
    assert len(left_out) == 1
