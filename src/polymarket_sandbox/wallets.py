"""The wallets: many ordinary ones, a few made on purpose, and two contracts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from polymarket_sandbox import fake_text, row_renderer, rows

# Exchange contracts of the CTF and neg-risk CTF exchange: they show up as counterparties in
# on-chain data and rank among the largest "wallets"; the Data API refuses them as `user`.
CONTRACTS = (
    "0x4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e",
    "0xc5d563a36ae78145c45a50134d48a1215220f80a",
)
CONTRACT_SHARE = 0.04

SPECIAL_WALLETS = (
    "wallet_big",
    "wallet_full_page",
    "wallet_tx_cut",
    "wallet_one_row",
    "wallet_old",
    "wallet_empty",
)
# These have their rows made one by one and take part in nothing else.
RESERVED = ("wallet_full_page", "wallet_tx_cut", "wallet_one_row", "wallet_empty")

# Below this, a wallet with more than 100,000 rows would be most of the universe.
BIG_FROM_ROWS = 300_000
BIG_ROWS = 108_000
MAKER_ROWS = 0.64  # share of rows that are a maker's


@dataclass(frozen=True, repr=False)
class WalletSet:
    """`addresses` by wallet number; `ordinary`: the numbers that trade at random, and the
    `chances` (summing to 1) of each to be on a row."""

    addresses: list[str]
    profiles: list[row_renderer.Profile]
    special: dict[str, int]
    contracts: tuple[int, ...]
    ordinary: rows.SmallInts
    chances: rows.Floats


def generate(*, seed: int, count: int, trades: int) -> WalletSet:
    """`count` wallets; the largest holds 36 % of the rows up to 300,000 and over 100,000 after."""
    rng = random.Random(f"wallets-{seed}")
    fresh = [f"0x{rng.randbytes(20).hex()}" for _ in range(count - len(CONTRACTS))]
    addresses = [*fresh, *CONTRACTS]
    special = {name: number for number, name in enumerate(SPECIAL_WALLETS)}
    contracts = (count - 2, count - 1)
    reserved = {special[name] for name in RESERVED}
    ordinary = np.array([n for n in range(count) if n not in reserved], dtype=np.int32)
    return WalletSet(
        addresses=addresses,
        profiles=[_profile(rng, wallet) for wallet in addresses],
        special=special,
        contracts=contracts,
        ordinary=ordinary,
        chances=_chances(len(ordinary), trades),
    )


def _chances(count: int, trades: int) -> rows.Floats:
    """Pareto-like: the first is the big wallet, the last two are the contracts.

    A wallet never meets itself: drawn with chance q it ends up on q - MAKER_ROWS q^2 of the rows.
    """
    wanted = max(BIG_ROWS / max(trades, BIG_FROM_ROWS), 0.12)
    big = (1 - math.sqrt(1 - 4 * MAKER_ROWS * wanted)) / (2 * MAKER_ROWS)
    rest = 1.0 - big - 2 * CONTRACT_SHARE
    weights = 1.0 / (np.arange(count - 3) + 2.0) ** 1.1
    spread = weights / weights.sum() * rest
    return np.concatenate(([big], spread, [CONTRACT_SHARE, CONTRACT_SHARE]))


def _profile(rng: random.Random, wallet: str) -> row_renderer.Profile:
    return row_renderer.Profile(
        wallet=wallet,
        name=fake_text.name(rng, wallet),
        pseudonym=fake_text.pseudonym(rng) if rng.random() < 0.8 else "",
        bio="“all in” 🎲\nsince 2021" if rng.random() < 0.05 else "",
        profile_image="https://polymarket-upload.s3.us-east-2.amazonaws.com/profile.gif"
        if rng.random() < 0.1
        else "",
    )
