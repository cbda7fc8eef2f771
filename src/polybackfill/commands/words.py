"""What one run shall do, as typed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from polybackfill import errors
from polybackfill.work import plan, units, window

PARTS = (units.CONDITIONS, units.WALLETS)
_FLAGS = {units.WALLETS: "--wallet", units.CONDITIONS: "--condition-id"}


@dataclass(frozen=True)
class Asked:
    """What one run shall do. Empty `wallets` and `conditions` mean: what the plan holds."""

    parts: tuple[str, ...] = PARTS
    wallets: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    window: units.Window = units.FULL_HISTORY
    dry_run: bool = False

    def keys(self, kind: str) -> tuple[str, ...]:
        """The keys typed for one part."""
        return self.wallets if kind == units.WALLETS else self.conditions

    @property
    def listed(self) -> bool:
        """Keys were typed, so the plan is not asked."""
        return bool(self.wallets or self.conditions)


def of(arguments: argparse.Namespace) -> Asked:
    """What the words of `run` ask for. Raises errors.Stop for what makes no sense."""
    given = keys(arguments)
    parts = _parts(arguments.parts, given)
    wallets, contracts = plan.without_contracts(given[units.WALLETS])
    for contract in contracts:
        print(f"left out: 0x{contract} is a contract, not a wallet", file=sys.stderr)
    if contracts and not wallets and not given[units.CONDITIONS]:
        raise errors.Stop("nothing is left to fetch: every wallet given is a contract")
    return Asked(
        parts=parts,
        wallets=tuple(wallets),
        conditions=tuple(given[units.CONDITIONS]),
        window=window.parse(arguments.since, arguments.until),
        dry_run=arguments.dry_run,
    )


def keys(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """What `--wallet` and `--condition-id` list, by part. Raises errors.Stop for a bad id, and for
    an empty list, which must not be taken for no list: that asks for the whole plan.
    """
    given = {
        units.WALLETS: plan.wallets(arguments.wallet or ()),
        units.CONDITIONS: plan.conditions(arguments.condition_id or ()),
    }
    typed = {units.WALLETS: arguments.wallet, units.CONDITIONS: arguments.condition_id}
    for part, texts in typed.items():
        if texts and not given[part]:
            raise errors.Stop(f"{_FLAGS[part]} {' '.join(texts)} holds no id; one a line")
    return given


def _parts(typed: Sequence[str], given: dict[str, list[str]]) -> tuple[str, ...]:
    """The parts to run; a list typed for one part asks for that part alone."""
    parts = tuple(dict.fromkeys(typed))
    for part in parts:
        if part not in PARTS:
            raise errors.Stop(f"no part {part}: the parts are {' and '.join(sorted(PARTS))}")
    listed = tuple(part for part in PARTS if given[part])
    if not parts or not listed:
        return parts or listed or PARTS
    for part in listed:
        if part not in parts:
            raise errors.Stop(f"{_FLAGS[part]} lists {part}, but only {parts[0]} shall run")
    for part in parts:
        if part not in listed:
            raise errors.Stop(f"{part} shall run beside a list: list them too with {_FLAGS[part]}")
    return parts
