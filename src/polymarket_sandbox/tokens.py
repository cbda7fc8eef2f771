"""Condition ids and token ids as the chain derives them.

Sources: the Conditional Tokens contract (CTHelpers: getConditionId, getCollectionId,
getPositionId) and the check of recorded data: the collateral is USDC for ordinary markets and the
wrapped collateral of the neg-risk adapter for negative-risk ones.
"""

from __future__ import annotations

from Crypto.Hash import keccak

# alt_bn128, y^2 = x^3 + 3 over this prime.
FIELD_PRIME = 21888242871839275222246405745257275088696311157297823662689037894645226208583
CURVE_B = 3

ORDINARY_COLLATERAL = "0x2791bca1f2de4661ed88a30c99a7a9449aa84174"
NEG_RISK_COLLATERAL = "0x3a3bd7bb9528e159577f7c2e685cc81a765002e2"


def keccak256(message: bytes) -> bytes:
    """The 32-byte Keccak-256 (not SHA3-256) of `message`."""
    return keccak.new(digest_bits=256, data=message).digest()


def condition_id(oracle: str, question_id: bytes, outcomes: int) -> str:
    """`0x` + 64 hex of the condition an oracle prepared for a question with so many outcomes."""
    packed = bytes.fromhex(oracle[2:]) + question_id + outcomes.to_bytes(32, "big")
    return "0x" + keccak256(packed).hex()


def is_square(number: int) -> bool:
    """Whether `number` has a square root modulo the field prime, by the Jacobi symbol: three times
    as fast as Euler's criterion, and a universe of many markets asks thousands of times."""
    symbol, modulus = 1, FIELD_PRIME
    while number:
        twos = (number & -number).bit_length() - 1
        number >>= twos
        if twos & 1 and modulus & 7 in {3, 5}:
            symbol = -symbol
        if number & modulus & 3 == 3:
            symbol = -symbol
        number, modulus = modulus % number, number
    return modulus == 1 and symbol == 1


def collection_id(condition: str, index_set: int) -> int:
    """The curve point of one outcome, compressed to 256 bits.

    Only the parity of y is kept, so the square root itself is never taken: it must exist, and the
    top bit of the hash says which of the two roots is meant.
    """
    digest = keccak256(bytes.fromhex(condition[2:]) + index_set.to_bytes(32, "big"))
    x = int.from_bytes(digest, "big")
    is_odd = x >> 255
    x %= FIELD_PRIME
    while True:
        x = (x + 1) % FIELD_PRIME
        y_squared = (x * x % FIELD_PRIME * x + CURVE_B) % FIELD_PRIME
        if is_square(y_squared):
            return x ^ (is_odd << 254)


def token_id(condition: str, outcome_index: int, *, neg_risk: bool) -> str:
    """Decimal token id of one outcome of a condition (`0x` + 64 hex)."""
    collateral = NEG_RISK_COLLATERAL if neg_risk else ORDINARY_COLLATERAL
    collection = collection_id(condition, 1 << outcome_index).to_bytes(32, "big")
    return str(int.from_bytes(keccak256(bytes.fromhex(collateral[2:]) + collection), "big"))


def structural_id(module: int, question_id: bytes) -> str:
    """Condition id of a Protocol V2 market: 31 bytes led by the module, padded with 00 to 32."""
    return "0x" + bytes([module]).hex() + keccak256(question_id)[:30].hex() + "00"


def position_id(structural: str, outcome_index: int) -> str:
    """Decimal position id of a Protocol V2 outcome. The live derivation is not published; a hash
    of the structural id and the slot stands in for it."""
    packed = bytes.fromhex(structural[2:]) + outcome_index.to_bytes(1, "big")
    return str(int.from_bytes(keccak256(b"position" + packed), "big"))
