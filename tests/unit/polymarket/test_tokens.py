"""Token ids computed from condition ids."""

import gzip
import json
import time
from pathlib import Path

import pytest

from polybackfill.polymarket import tokens

# One recorded fill of each kind of market, 2026-09.
ORDINARY = (
    "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb",
    "94086112935155543873623944622982589425841987761157800428904933343235050159168",
)


def test_a_recorded_token_is_the_second_outcome_of_its_market() -> None:
    assert tokens.outcome_index_of(*ORDINARY) == 1


def test_every_slot_of_a_condition_has_its_own_tokens() -> None:
    condition = ORDINARY[0]
    ids = {token for slot in range(8) for token in tokens.token_ids(condition, slot)}
    assert len(ids) == 16
    assert all(1 <= len(token) <= 78 and token.isdecimal() for token in ids)
    assert tokens.outcome_index_of(condition, tokens.token_ids(condition, 2)[1]) == 2


def test_a_token_of_another_market_has_no_outcome() -> None:
    assert tokens.outcome_index_of("00" * 32, ORDINARY[1]) is None
    assert tokens.outcome_index_of(ORDINARY[0], "12345") is None


def test_a_second_look_costs_nothing() -> None:
    tokens.outcome_index_of(*ORDINARY)
    hits = tokens.token_ids.cache_info().hits
    assert tokens.outcome_index_of(*ORDINARY) == 1
    assert tokens.token_ids.cache_info().hits > hits


@pytest.mark.recorded
def test_recorded_trades_carry_the_tokens_of_their_outcomes(recorded_dir: Path) -> None:
    wrong, checked, started = [], 0, time.process_time()
    with gzip.open(recorded_dir / "data-v1-activity-polybotanalysis-trades24h.jsonl.gz") as lines:
        for line in lines:
            row = json.loads(line)
            if row["type"] != "TRADE":
                continue
            checked += 1
            found = tokens.outcome_index_of(row["conditionId"].removeprefix("0x"), row["asset"])
            if found != row["outcomeIndex"]:
                wrong.append(row)
    assert checked == 3_444
    assert wrong == []
    assert time.process_time() - started < 5


@pytest.mark.recorded
def test_recorded_negative_risk_markets_list_their_tokens_in_outcome_order(
    recorded_dir: Path,
) -> None:
    name = "gamma-markets-compact-open-universe-wakeupnemo.jsonl.gz"
    checked = {True: 0, False: 0}
    with gzip.open(recorded_dir / name) as lines:
        for number, line in enumerate(lines):
            if number % 400:
                continue
            market = json.loads(line)
            listed = market.get("clobTokenIds")
            if not listed:
                continue
            ids = json.loads(listed) if isinstance(listed, str) else listed
            condition = market["conditionId"].removeprefix("0x")
            found = [tokens.outcome_index_of(condition, token) for token in ids]
            assert found == [0, 1], market
            checked[bool(market.get("negRisk"))] += 1
    assert min(checked.values()) > 10


@pytest.mark.parametrize("module", ["01", "02", "03"])
def test_a_position_of_protocol_v2_names_its_condition_and_outcome(module: str) -> None:
    """Issue text, condition ids: 31-byte condition << 8 | outcome, used offline."""
    condition = f"{module}{'5a' * 18}{'00' * 8}{'c3' * 4}"
    positions = [str(int(condition, 16) << 8 | outcome) for outcome in range(2)]
    padded = condition + "00"
    assert [tokens.outcome_index_of(padded, position) for position in positions] == [0, 1]
    assert tokens.fit(padded, positions) is True
    foreign = str((int(condition, 16) ^ 1 << 20) << 8)
    assert tokens.outcome_index_of(padded, foreign) is None
    assert tokens.fit(padded, [positions[0], foreign]) is False
    assert tokens.fit(padded, [foreign]) is False
    assert tokens.fit(padded, ["777000111"]) is None, "in a form nobody documented"


def test_a_position_of_protocol_v2_belongs_to_no_ordinary_condition() -> None:
    position = str(int(f"01{'5a' * 18}{'00' * 8}{'c3' * 4}", 16) << 8)
    assert tokens.fit("ab" * 32, [position]) is False
