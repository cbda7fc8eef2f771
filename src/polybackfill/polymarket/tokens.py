"""Token ids, computed from condition ids as the Conditional Tokens contract does on chain.

A position's token id is a pure function of (collateral, condition id, outcome slot), so an unknown
outcome index can be found, and a wrong condition recognised, without asking anybody. Source:
gnosis/conditional-tokens-contracts, CTHelpers.sol (`getCollectionId`, `getPositionId`).

A position of Protocol V2 says so without any hash: its id is the 31 bytes of the condition and one
byte for the outcome. The first byte of the condition is its module, and bits 40 to 103 of the
position are zero (public sources, read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from Crypto.Hash import keccak

# Curve alt_bn128: y² = x³ + 3 over this prime (EIP-196).
_PRIME = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_CURVE_B = 3
_SQUARE_ROOT_EXPONENT = (_PRIME + 1) // 4
_ODD_FLAG = 1 << 254
_TOP_BIT = 1 << 255

# What Polymarket's positions are backed by, as recorded rows up to October 2026 confirm.
ORDINARY_COLLATERAL = bytes.fromhex("2791bca1f2de4661ed88a30c99a7a9449aa84174")
NEGATIVE_RISK_COLLATERAL = bytes.fromhex("3a3bd7bb9528e159577f7c2e685cc81a765002e2")
_COLLATERALS = (ORDINARY_COLLATERAL, NEGATIVE_RISK_COLLATERAL)
# Every market of today has two outcomes; some early ones have more.
_USUAL_OUTCOMES = 2
_MAX_OUTCOMES = 8


# The modules of Protocol V2: binary, negative risk, combo.
_MODULES = frozenset((1, 2, 3))
_OUTCOME_BITS = 8
_POSITION_BITS = 256
_ZERO_BITS = ((1 << 64) - 1) << 40
_STRUCTURAL_END = "00"  # pads the 31 bytes of a condition to 32


def is_structural(condition_id: str) -> bool:
    """Whether this is a condition of Protocol V2: 31 bytes that begin with a module, then 00."""
    return int(condition_id[:2], 16) in _MODULES and condition_id.endswith(_STRUCTURAL_END)


def structural_outcome(condition_id: str, token_id: str) -> int | None:
    """The outcome of a Protocol V2 position, None when it is none of this condition's."""
    number = int(token_id)
    condition = f"{number >> _OUTCOME_BITS:062x}{_STRUCTURAL_END}"
    return number % (1 << _OUTCOME_BITS) if condition == condition_id else None


def is_position(token_id: str) -> bool:
    """Whether the id has the form of a Protocol V2 position, which a hash has in 1 of 2^70."""
    number = int(token_id)
    return number >> (_POSITION_BITS - 8) in _MODULES and not number & _ZERO_BITS


def outcome_index_of(condition_id: str, token_id: str) -> int | None:
    """The outcome a token stands for, None when it does not belong to the condition.

    condition_id: 64 hex digits without 0x; token_id: decimal digits.
    """
    outcome = structural_outcome(condition_id, token_id)
    if outcome is not None or is_position(token_id):
        return outcome
    for slots in (range(_USUAL_OUTCOMES), range(_USUAL_OUTCOMES, _MAX_OUTCOMES)):
        for slot in slots:
            if token_id in token_ids(condition_id, slot):
                return slot
    return None


def fit(condition_id: str, listed: Sequence[str]) -> bool | None:
    """Whether the token ids a market lists are those of the condition, whatever their order.

    One that is not decides. None: it lists none, as markets from before the order book do, or one
    of Protocol V2 lists ids in another form than its positions have.
    """
    listed_ids = [token for token in listed if token]
    if not listed_ids:
        return None
    structural = [structural_outcome(condition_id, token) is not None for token in listed_ids]
    if any(structural) or any(map(is_position, listed_ids)):
        return all(structural)
    usual = {token for slot in range(_USUAL_OUTCOMES) for token in token_ids(condition_id, slot)}
    derived = all(
        token in usual or outcome_index_of(condition_id, token) is not None for token in listed_ids
    )
    # One in 20,000 ordinary conditions looks like one of Protocol V2.
    return derived or (None if is_structural(condition_id) else False)


@lru_cache(maxsize=20_000)
def token_ids(condition_id: str, slot: int) -> tuple[str, str]:
    """Decimal token ids of outcome `slot` (0, 1, …): (ordinary market, negative-risk market)."""
    collection = _collection_id(bytes.fromhex(condition_id), 1 << slot)
    ordinary, negative_risk = (
        str(int.from_bytes(_keccak(collateral + collection), "big")) for collateral in _COLLATERALS
    )
    return ordinary, negative_risk


def _collection_id(condition: bytes, index_set: int) -> bytes:
    """32 bytes: the curve point the condition and index set hash to, compressed."""
    seed = int.from_bytes(_keccak(condition + index_set.to_bytes(32, "big")), "big")
    odd = seed & _TOP_BIT != 0
    x, y = _point_from(seed)
    if (y % 2 == 1) != odd:
        y = _PRIME - y
    return (x ^ (_ODD_FLAG if y % 2 == 1 else 0)).to_bytes(32, "big")


def _point_from(seed: int) -> tuple[int, int]:
    x = seed % _PRIME
    while True:
        x = (x + 1) % _PRIME
        square = (x * x * x + _CURVE_B) % _PRIME
        y = pow(square, _SQUARE_ROOT_EXPONENT, _PRIME)
        if y * y % _PRIME == square:
            return x, y


def _keccak(content: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=content).digest()
