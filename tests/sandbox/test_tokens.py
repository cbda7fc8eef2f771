"""Token ids follow from condition ids as on chain."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from polymarket_sandbox import options, tokens, universe_builder


@pytest.mark.recorded
def test_derived_tokens_equal_recorded_ones(recorded_dir: Path) -> None:
    path = recorded_dir / "gamma-markets-compact-open-universe-wakeupnemo.jsonl.gz"
    with gzip.open(path) as lines:
        sampled = [json.loads(line) for place, line in enumerate(lines) if place % 250 == 0]
    assert {market["negRisk"] for market in sampled} == {True, False}
    for market in sampled:
        derived = [
            tokens.token_id(market["conditionId"], outcome, neg_risk=market["negRisk"])
            for outcome in (0, 1)
        ]
        assert derived == json.loads(market["clobTokenIds"])


def test_squares_are_recognised() -> None:
    squares = [pow(number, 2, tokens.FIELD_PRIME) for number in range(2, 60)]
    assert all(tokens.is_square(square) for square in squares)
    # -1 is no square modulo a prime that leaves 3 when divided by 4.
    assert not any(tokens.is_square(tokens.FIELD_PRIME - square) for square in squares)


def test_every_ordinary_market_of_a_universe_passes_the_check() -> None:
    world = universe_builder.build(options.SandboxOptions())
    checked = 0
    for market in world.lists.markets:
        if market.version == "v1" and market.condition_id:
            checked += 1
            assert market.tokens == tuple(
                tokens.token_id(market.condition_id, outcome, neg_risk=market.neg_risk)
                for outcome in range(len(market.outcomes))
            )
    assert checked > 100
    assert any(len(market.tokens) == 3 for market in world.lists.markets)
