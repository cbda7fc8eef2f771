"""Contracts that appear in trade feeds like wallets and are none.

Polygon mainnet, lower case without 0x. Sources: the contract lists of Polymarket's documentation
and of its ctf-exchange-v2 repository (2026), and the recorded on-chain fills of September 2026.
"""

from __future__ import annotations

CONTRACTS = {
    "0" * 40: "zero address",
    "4bfb41d5b3570defd03c39a9a4d8de6bd8b8982e": "CTF exchange V1",
    "c5d563a36ae78145c45a50134d48a1215220f80a": "neg-risk CTF exchange V1",
    "e111180000d2663c0091e4f400237545b87b996b": "CTF exchange V2",
    "e2222d279d744050d28e00520010520000310f59": "neg-risk CTF exchange V2",
    "d91e80cf2e7be2e162c6513ced06f1dd0da35296": "neg-risk adapter",
    "4d97dcd97ec945f40cf65f87097ace5ea0476045": "conditional tokens",
    "ada100874d00e3331d00f2007a9c336a65009718": "CTF collateral adapter",
    "ada200001000ef00d07553cee7006808f895c6f1": "neg-risk CTF collateral adapter",
    "c011a7e12a19f7b1f670d46f03b03f3342e82dfb": "pUSD collateral token",
    "3a3bd7bb9528e159577f7c2e685cc81a765002e2": "wrapped collateral",
    "2791bca1f2de4661ed88a30c99a7a9449aa84174": "USDC.e",
}
