"""From names that people type to wallets and condition ids: the store is asked, then Gamma."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from polybackfill import errors, settings, terminal
from polybackfill.inputs import key_input
from polybackfill.polymarket import http, name_lookup, names
from polybackfill.run import api_client, bootstrap
from polybackfill.store import client, migrate, name_search

_AT_ONCE = 8
_A = {kind: f"a{'n' * (kind is names.Kind.EVENT)} {kind.value}" for kind in names.Kind}
_SHOWN = 5
_LABEL_MAX = 80  # characters
_TRIES = 4  # somebody is waiting
_TRY_S = 20.0

Candidates = list[name_lookup.Candidate]


def resolve(
    chosen: settings.Settings, entries: Iterable[key_input.Entry], *, offline: bool = False
) -> key_input.KeysByName:
    """The keys of all names that are none themselves; `offline`: by what is stored alone.

    Raises errors.Stop (exit 78) for one that is unknown or ambiguous, with where it was given;
    errors.Retry when nobody can be asked. Not to be called inside an event loop.
    """
    wanted: dict[names.Name, str] = {}
    for entry in entries:
        if entry.key is None:
            wanted.setdefault(entry.name, entry.where)
    return bootstrap.run(_resolve(chosen, wanted, offline=offline)) if wanted else {}


def keys(
    chosen: settings.Settings, entries: Sequence[key_input.Entry], *, offline: bool = False
) -> list[str]:
    """The keys of the entries, in order and once each; see `resolve`."""
    return key_input.resolve_keys(entries, resolve(chosen, entries, offline=offline))


async def _resolve(
    chosen: settings.Settings, wanted: dict[names.Name, str], *, offline: bool
) -> dict[names.Name, list[str]]:
    known = await _stored(chosen, list(wanted))
    left = [name for name in wanted if name not in known]
    if left and offline:
        raise errors.Stop(
            f"{wanted[left[0]]}: the store does not know {left[0].text}, and the API is not asked: "
            "give the address or the id"
        )
    if left:
        at_once = asyncio.Semaphore(_AT_ONCE)
        async with api_client.open_get(
            chosen, "a few questions", attempts=_TRIES, deadline_s=_TRY_S
        ) as get:

            async def look(name: names.Name) -> Candidates:
                async with at_once:
                    return await _at_gamma(name, wanted[name], get)

            known |= dict(zip(left, await asyncio.gather(*map(look, left)), strict=True))
    for name, candidates in known.items():
        if name.kind not in (names.Kind.EVENT, names.Kind.SLUG) and len(candidates) > 1:
            raise _ambiguous(name, wanted[name], candidates)
    return {name: [one.key for one in known[name]] for name in wanted}


async def _stored(
    chosen: settings.Settings, wanted: Sequence[names.Name]
) -> dict[names.Name, Candidates]:
    """What the lists in the store know. A store that is not there knows nothing."""
    address = bootstrap.store_address(chosen)
    if address.embedded and not address.data_dir.exists():
        return {}
    async with bootstrap.open_store(chosen) as store:
        if {"api_market_rows", "api_event_rows"} & set(await migrate.missing(store)):
            return {}
        return await _in_store(store, wanted)


async def _in_store(
    store: client.Store, wanted: Sequence[names.Name]
) -> dict[names.Name, Candidates]:
    def texts(*kinds: names.Kind) -> list[str]:
        return [name.text for name in wanted if name.kind in kinds]

    numbers = await name_search.markets_by_number(store, texts(names.Kind.NUMBER))
    slugs = texts(names.Kind.MARKET, names.Kind.SLUG)
    markets = await name_search.markets_by_slug(store, slugs)
    slugs = texts(names.Kind.EVENT, names.Kind.SLUG)
    events = await name_search.markets_of_events(store, slugs)
    known: dict[names.Name, Candidates] = {}
    for name in wanted:
        by_name = {
            names.Kind.NUMBER: [numbers],
            names.Kind.MARKET: [markets],
            names.Kind.EVENT: [events],
            names.Kind.SLUG: [markets, events],
        }.get(name.kind, [])
        sides = [
            [name_lookup.Candidate(key, label) for key, label in one.get(name.text, [])]
            for one in by_name
        ]
        if any(sides):
            known[name] = _one_meaning(name, sides)
    return known


async def _at_gamma(name: names.Name, where: str, get: http.Get) -> Candidates:
    similar: list[str] = []
    if name.kind is names.Kind.PROFILE:
        candidates, similar = await name_lookup.profiles(name, get)
    else:
        sides = []
        if name.kind is not names.Kind.EVENT:
            sides.append(await name_lookup.markets(name, get))
        if name.kind in (names.Kind.EVENT, names.Kind.SLUG):
            sides.append(await name_lookup.event(name, get))
        candidates = _one_meaning(name, sides)
    if candidates:
        return candidates
    shown = ", ".join(f"@{terminal.excerpt(one, _LABEL_MAX)}" for one in similar[:_SHOWN])
    near = f"; similar: {shown}" if similar else ""
    raise errors.Stop(
        f"{where}: neither the store nor Gamma knows {_A[name.kind]} {name.text}{near}"
    )


def _one_meaning(name: names.Name, sides: Sequence[Candidates]) -> Candidates:
    """A slug may be a market's and an event's; then they must be the same. Raises errors.Stop."""
    meant = [side for side in sides if side]
    if len(meant) > 1 and {one.key for one in meant[0]} != {one.key for one in meant[1]}:
        raise errors.Stop(
            f"{name.text} is a market and an event of {len(meant[1])} markets: give "
            f"polymarket.com/market/{name.text} or polymarket.com/event/{name.text}"
        )
    return meant[0] if meant else []


def _ambiguous(name: names.Name, where: str, candidates: Candidates) -> errors.Stop:
    shown = ", ".join(
        f"0x{one.key} ({terminal.excerpt(one.label, _LABEL_MAX)})" for one in candidates[:_SHOWN]
    )
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return errors.Stop(
        f"{where}: {len(candidates)} matches for the {name.kind.value} {name.text}; give one of "
        f"{shown}{more}"
    )
