"""Asking Gamma for what a name names: single reads of markets and events, the search for profiles.

Every answer is compared with the question: a read may answer with something else, and a search
answers with all that is similar. Routes and fields: docs.polymarket.com, read 2026-11.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, http, names

_NOT_FOUND = frozenset({400, 404, 422})  # a slug may be none by its form already
_PROFILES = 50  # on one page of the search, the most there is
_PAGES = 4


@dataclass(frozen=True)
class Candidate:
    """What a name may mean. `key`: a wallet or a condition id as stored; `label`: for people."""

    key: str
    label: str


async def markets(name: names.Name, get: http.Get) -> list[Candidate]:
    """The market of that number or slug, if there is one. Raises Retry, GiveUp, Stop."""
    if name.kind is names.Kind.NUMBER:
        route, field = endpoints.MARKET_BY_ID.at(name.text), "id"
    else:
        route, field = endpoints.MARKET_BY_SLUG.at(_quoted(name.text)), "slug"
    row = await _single(route, get)
    if row is None or not _same(row.get(field), name.text):
        return []
    return _conditions([row])


async def event(name: names.Name, get: http.Get) -> list[Candidate]:
    """All markets of the event of that slug, none when there is no such event."""
    row = await _single(endpoints.EVENT_BY_SLUG.at(_quoted(name.text)), get)
    if row is None or not _same(row.get("slug"), name.text):
        return []
    return _conditions(coerce.objects(row.get("markets")))


async def profiles(name: names.Name, get: http.Get) -> tuple[list[Candidate], list[str]]:
    """Wallets of the profiles of that name, else of that pseudonym; and names that are similar."""
    similar: list[str] = []
    for page in range(1, _PAGES + 1):
        query = [("q", name.text), ("search_profiles", "true")]
        query += [("limit_per_type", str(_PROFILES)), ("page", str(page))]
        answer = _object((await get(endpoints.SEARCH, query)).body, endpoints.SEARCH)
        rows = coerce.objects(answer.get("profiles"))
        for field in ("name", "pseudonym"):
            exact = _wallets([row for row in rows if _same(row.get(field), name.text)], field)
            if exact:
                return exact, similar
        similar += [text for row in rows if (text := coerce.text(row.get("name")))]
        more = answer.get("pagination")
        if not (rows and isinstance(more, dict) and more.get("hasMore")):
            break
    return [], similar


async def _single(route: endpoints.Route, get: http.Get) -> dict[str, Any] | None:
    """One object, None when there is no such thing."""
    try:
        response = await get(route, ())
    except errors.GiveUp as refusal:
        if refusal.status not in _NOT_FOUND:
            raise
        return None
    return _object(response.body, route)


def _object(body: bytes, route: endpoints.Route) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.Retry(f"{route.address}: not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise errors.Retry(f"{route.address}: an answer that is no object")
    return answer


def _conditions(rows: Iterable[coerce.Json]) -> list[Candidate]:
    candidates: dict[str, Candidate] = {}
    for row in rows:
        try:
            key = records.normalise_condition(coerce.text(row.get("conditionId")))
        except errors.Reject:
            continue  # a draft that was never prepared has no trades
        label = coerce.text(row.get("slug")) or coerce.text(row.get("question"))
        candidates[key] = Candidate(key, label)
    return list(candidates.values())


def _wallets(rows: Iterable[coerce.Json], field: str) -> list[Candidate]:
    candidates: dict[str, Candidate] = {}
    for row in rows:
        try:
            key = records.normalise_wallet(coerce.text(row.get("proxyWallet")))
        except errors.Reject:
            continue
        candidates[key] = Candidate(key, coerce.text(row.get(field)))
    return list(candidates.values())


def _same(shown: object, wanted: str) -> bool:
    return str(shown).strip().casefold() == wanted.casefold()


def _quoted(slug: str) -> str:
    return urllib.parse.quote(slug, safe="")
