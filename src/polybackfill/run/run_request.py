"""What one run shall do, as typed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from polybackfill import errors, guess, settings, units
from polybackfill.inputs import key_input, time_arguments
from polybackfill.kinds import key_source, registry
from polybackfill.run import name_resolution

# What people call a part, and the kinds of units it is made of.
PARTS = {part: tuple(kind.name for kind in kinds) for part, kinds in registry.PARTS.items()}
_FLAGS = {"wallets": "--wallet", "conditions": "--condition-id"}
# Flag → the parts whose keys it lists.
_SERVED = {
    flag: tuple(part for part, kinds in registry.PARTS.items() if kinds[0].key_flag == flag)
    for flag in _FLAGS
}
_WHOLE_LISTS = tuple(
    kind.name for kind in registry.ALL if isinstance(kind.keys, key_source.WholeList)
)

_FOLLOWED = tuple(kind.name for kind in registry.ALL if kind.is_followed)


@dataclass(frozen=True)
class RunRequest:
    """What one run shall do. Empty `wallets` and `conditions` mean: what the plan holds.

    `stop_at`: epoch seconds at which the run ends itself, as a stop signal would.
    `plan_decides`: nothing typed says what to fetch, so a planned list does, where there is one.
    `listed_only`: of the plan only what somebody listed, not what a run of everything has found,
    and of the market list only what is known of the markets of these keys.
    `follow`: when everything is read the run stays, and reads what is new.
    """

    parts: tuple[str, ...] = tuple(PARTS)
    wallets: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    window: units.Window = units.FULL_HISTORY
    stop_at: float | None = None
    dry_run: bool = False
    plan_decides: bool = False
    listed_only: bool = False
    follow: bool = False

    def keys(self, kind: str) -> tuple[str, ...]:
        """The keys typed for one kind of unit."""
        typed = {"wallets": self.wallets, "conditions": self.conditions}
        return typed.get(registry.KINDS[kind].key_flag, ())

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of units of the parts, in their order."""
        left_out = (
            *(_WHOLE_LISTS if self.listed_only else ()),
            *(() if self.follow else _FOLLOWED),
        )
        return tuple(
            kind
            for part in PARTS
            if part in self.parts
            for kind in PARTS[part]
            if kind not in left_out
        )

    @property
    def everything(self) -> bool:
        """The lists are read too, and what they and the trades show is added to the plans."""
        return "markets" in self.parts and not (self.has_typed_keys or self.listed_only)

    @property
    def fetches_all(self) -> bool:
        """All that a profit is made of, of everything or of the planned list, and no rehearsal."""
        is_all = self.parts == tuple(PARTS) or self.listed_only
        return is_all and not self.has_typed_keys and not self.dry_run

    @property
    def has_typed_keys(self) -> bool:
        """Keys were typed, so the plan is not asked."""
        return bool(self.wallets or self.conditions)


def parse_arguments(
    arguments: argparse.Namespace, chosen_settings: settings.Settings
) -> RunRequest:
    """What the words of `run` ask for. Raises errors.Stop for what makes no sense."""
    given = keys(arguments, chosen_settings)
    parts = _parts(arguments.parts, given)
    chosen = bool(arguments.parts or any(given.values()))
    if arguments.everything and chosen:
        raise errors.Stop("--everything means all parts and all keys: leave out parts and lists")
    stop_at = time_arguments.stop_time(arguments.until, time.time())
    window = time_arguments.parse(arguments.since, None if stop_at else arguments.until)
    if arguments.follow:
        _check_follow(chosen=chosen, window=window, backfill=chosen_settings.backfill)
    wallets, contracts = key_input.without_contracts(given["wallets"])
    for contract in contracts:
        print(f"left out: 0x{contract} is a contract, not a wallet", file=sys.stderr)
    if contracts and not wallets and not given["conditions"]:
        raise errors.Stop("nothing is left to fetch: every wallet given is a contract")
    return RunRequest(
        parts=parts,
        wallets=tuple(wallets),
        conditions=tuple(given["conditions"]),
        window=window,
        stop_at=stop_at,
        dry_run=arguments.dry_run,
        plan_decides=not (chosen or arguments.everything or arguments.follow),
        follow=arguments.follow,
    )


def _check_follow(
    *, chosen: bool, window: units.Window, backfill: settings.BackfillSettings
) -> None:
    """Who follows follows everything. Raises errors.Stop."""
    if chosen:
        raise errors.Stop("--follow keeps all parts and all keys fresh: leave out parts and lists")
    if window != units.FULL_HISTORY:
        raise errors.Stop(
            "--follow has no end: leave out --since, and give --until a time of day to stop at"
        )
    if backfill.limit is not None or backfill.skip:
        raise errors.Stop("--follow keeps all keys fresh: leave out --limit and --skip")
    if backfill.job:
        raise errors.Stop(
            f"--follow: the job {backfill.job} ends when all is read, and one daemon follows: "
            "start it without BACKFILL_JOB"
        )


def narrow_to_plan(request: RunRequest, planned: Mapping[str, int]) -> RunRequest:
    """What is fetched when the plan decides: the list where there is one, else everything.

    `planned`: how many keys somebody planned, by part.
    """
    lists = {part for part, keys in planned.items() if keys}
    parts = tuple(
        part
        for part, kinds in registry.PARTS.items()
        if any(lists.intersection(kind.needed_for) for kind in kinds)
    )
    if not (request.plan_decides and parts):
        return replace(request, plan_decides=False)
    return replace(request, parts=parts, plan_decides=False, listed_only=True)


def keys(arguments: argparse.Namespace, chosen: settings.Settings) -> dict[str, list[str]]:
    """What `--wallet` and `--condition-id` list, by part. Raises errors.Stop for a bad id, and for
    an empty list, which must not be taken for no list: that asks for the whole plan. Names are
    looked up, in the store of the settings and at Gamma.
    """
    given = {
        "wallets": name_resolution.keys(chosen, key_input.wallets(arguments.wallet or ())),
        "conditions": name_resolution.keys(
            chosen, key_input.conditions(arguments.condition_id or ())
        ),
    }
    typed = {"wallets": arguments.wallet, "conditions": arguments.condition_id}
    for part, texts in typed.items():
        if texts and not given[part]:
            raise errors.Stop(
                f"{_FLAGS[part]} {' '.join(texts)} contains no id; write one per line"
            )
    return given


def parse_parts(typed: Sequence[str]) -> tuple[str, ...]:
    """The parts typed, all of them when none is. Raises errors.Stop for one nobody knows."""
    for part in typed:
        if part not in PARTS:
            hint = guess.near(part, PARTS)
            raise errors.Stop(f"there is no part {part}: the parts are {', '.join(PARTS)}{hint}")
    return tuple(dict.fromkeys(typed)) or tuple(PARTS)


def _parts(typed: Sequence[str], given: dict[str, list[str]]) -> tuple[str, ...]:
    """The parts to run; a list typed for one part asks for that part alone."""
    parts = parse_parts(typed) if typed else ()
    typed_parts = tuple(part for part in ("conditions", "wallets") if given[part])
    if not parts or not typed_parts:
        return parts or typed_parts or tuple(PARTS)
    for part in typed_parts:
        if not set(_SERVED[part]) & set(parts):
            raise errors.Stop(f"{_FLAGS[part]} lists {part}, but this run fetches {parts[0]} only")
    for part in parts:
        flag = next((_FLAGS[kind] for kind in _SERVED if part in _SERVED[kind]), None)
        if flag is None:
            raise errors.Stop(
                f"{part} cannot be limited to a list: leave out {' and '.join(_FLAGS.values())}"
            )
        if not any(part in _SERVED[kind] for kind in typed_parts):
            raise errors.Stop(
                f"{part} need a list of their own here: give one with {flag}, or leave {part} out"
            )
    return parts
