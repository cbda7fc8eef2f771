"""Recorded Gamma objects as a catalog of markets, events and tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import orjson

from polymarket_sandbox import catalog, fake_text, recorded, recorded_ends, tokens, v2_query

Json = catalog.Json

# One recording was trimmed by its author and has no ids; these stand in, far above the real ones.
FIRST_STAND_IN_ID = 900_000_000
FIRST_STAND_IN_EVENT = 910_000_000
FIRST_TRADED_ID = 920_000_000
_OPPOSITE = {"Yes": "No", "No": "Yes", "Up": "Down", "Down": "Up"}


def read(folder: Path) -> catalog.Catalog:
    """Everything the Gamma recordings show; of one market the fullest object wins."""
    markets: dict[str, Json] = {}
    events: dict[str, Json] = {}
    tags: dict[str, Json] = {}
    for body in _market_objects(folder):
        held = markets.get(str(body["id"]))
        if held is None or len(body) > len(held):
            markets[str(body["id"])] = body
    for event in _event_objects(folder):
        events[str(event["id"])] = event
        for body in cast(list[Json], event.get("markets") or []):
            shown_event = {name: event.get(name) for name in ("id", "slug", "title")}
            markets.setdefault(str(body["id"]), {**body, "events": [shown_event]})
    labels = _add_trimmed(folder, markets)
    _add_seeds(folder, markets)
    _add_traded(folder, markets)
    book = recorded_ends.order_book(folder)
    tag_ids = _tags(events, labels, tags)
    built = [_market(body, labels, tag_ids) for body in markets.values()]
    for market in built:
        _add_book_row(market, book.get(market.condition_id))
    built.sort(key=lambda market: market.id)
    listed = [catalog.Tag(int(n), _text(b, "label"), _text(b, "slug"), b) for n, b in tags.items()]
    order = sorted(range(len(built)), key=lambda place: built[place].created)
    return catalog.Catalog(
        built, _events(built, markets, events), sorted(listed, key=lambda tag: tag.id), order
    )


def _text(body: Json, name: str) -> str:
    return str(body.get(name) or "")


def _number(body: Json, name: str) -> float:
    return float(str(body.get(name) or 0))


def moment(value: object) -> int:
    """Epoch seconds of any recorded form of time, 0 for none."""
    if not value:
        return 0
    text = str(value).replace("Z", "+00:00")
    return int(datetime.fromisoformat(text + ":00" if text.endswith("+00") else text).timestamp())


def _market_objects(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("gamma-markets-*.jsonl*")):
        for line in cast(list[Json], recorded.read(path)):
            if "markets" in line:
                yield from cast(list[Json], line["markets"])
            else:
                yield cast(Json, line.get("raw", line))
    for path in sorted(folder.glob("gamma-market-*.json")):
        yield cast(Json, recorded.read(path))
    for path in sorted(folder.glob("mixed-*.json")):
        for name, held in cast(Json, recorded.read(path)).items():
            if name.startswith(("gamma_market", "market_detail")):
                yield cast(Json, held)


def _event_objects(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("gamma-event-*.json")):
        held = cast(Json, recorded.read(path))
        yield cast(Json, held.get("gamma-event", held))
    for path in sorted(folder.glob("mixed-*.json")):
        yield from cast(list[Json], cast(Json, recorded.read(path)).get("gamma_event", []))


def _add_trimmed(folder: Path, markets: dict[str, Json]) -> dict[str, list[str]]:
    """Add the trimmed objects as closed markets; returns tag slugs by condition id, or by market id
    where there is none."""
    known = {_text(body, "conditionId") for body in markets.values()}
    genuine = {
        _text(seed, "condition_id"): int(_text(seed, "market_id"))
        for seed in _seeds(folder)
        if _text(seed, "market_id") not in markets
    }
    labels: dict[str, list[str]] = {}
    event_ids: dict[str, int] = {}
    stand_in = FIRST_STAND_IN_ID
    for path in sorted(folder.glob("gamma-markets-trimmed-*.json*")):
        for trimmed in cast(list[Json], recorded.read(path)):
            condition, title = _text(trimmed, "conditionId"), _text(trimmed, "eventTitle")
            tags = cast(list[str], trimmed["tags"])
            if condition in known:
                labels.setdefault(condition, tags)
                continue
            stand_in += 1
            number = genuine.get(condition, stand_in)
            if condition:  # drafts have none; each is a market of its own
                known.add(condition)
            labels[condition or str(number)] = tags
            event_id = event_ids.setdefault(title, FIRST_STAND_IN_ID + len(event_ids))
            markets[str(number)] = _untrimmed(trimmed, number, event_id, title)
    return labels


def _seeds(folder: Path) -> list[Json]:
    """The rows of the dimension seed: condition, Gamma id, question, event slug, outcome."""
    paths = sorted(folder.glob("seed-markets-dim-*.json*"))
    return [row for path in paths for row in cast(list[Json], recorded.read(path))]


def _shown_events(markets: dict[str, Json]) -> dict[str, Json]:
    """Events that markets embed, by slug."""
    return {
        _text(shown_event, "slug"): shown_event
        for body in markets.values()
        for shown_event in cast(list[Json], body.get("events") or [])
    }


def _event_of(slug: str, shown_events: dict[str, Json]) -> Json | None:
    """The event of that slug, entered if it is new; None for an empty slug."""
    if slug and slug not in shown_events:
        event_id = FIRST_STAND_IN_EVENT + len(shown_events)
        title = slug.replace("-", " ").capitalize()
        shown_events[slug] = {"id": str(event_id), "slug": slug, "ticker": slug, "title": title}
    return shown_events.get(slug)


def _add_traded(folder: Path, markets: dict[str, Json]) -> None:
    """Add what no list shows, and fills or positions speak of: closed where its end is known."""
    listed = {v2_query.normal_condition(_text(body, "conditionId")) for body in markets.values()}
    shown_events, ends = _shown_events(markets), recorded_ends.payouts(folder)
    traded: dict[str, list[Json]] = {}
    for row in (*recorded.feed_rows(folder), *recorded_ends.positions(folder)):
        condition = v2_query.normal_condition(_text(row, "condition_id"))
        if _text(row, "condition_id") and condition not in listed and not row.get("is_combo"):
            traded.setdefault(condition, []).append(row)
    for number, (condition, rows) in enumerate(traded.items(), FIRST_TRADED_ID):
        shown_event = _event_of(_text(rows[0], "event_slug"), shown_events)
        markets[str(number)] = _from_rows(number, condition, rows, ends.get(condition), shown_event)


def _from_rows(
    number: int,
    condition: str,
    rows: Sequence[Json],
    paid: tuple[int, int] | None,
    shown_event: Json | None,
) -> Json:
    names = {row["outcome_index"]: _text(row, "outcome") for row in rows if row.get("outcome")}
    first = names.get(0) or _OPPOSITE.get(names.get(1, ""), "first outcome")
    second = names.get(1) or _OPPOSITE.get(first, "second outcome")
    body: Json = {
        "id": str(number),
        "conditionId": condition,
        "question": _text(rows[0], "title"),
        "slug": _text(rows[0], "slug") or fake_text.slug_of(_text(rows[0], "title"), number),
        "icon": _text(rows[0], "icon"),
        "outcomes": orjson.dumps([first, second]).decode(),
        "active": True,
        "closed": paid is not None,
        "archived": False,
    }
    if paid is not None:
        prices = [str(micro // recorded_ends.WHOLE) for micro in paid]
        body.update(outcomePrices=orjson.dumps(prices).decode(), umaResolutionStatus="resolved")
    traded = {_text(row, "token_id") for row in rows}
    for neg_risk in (False, True):
        pair = [tokens.token_id(condition, place, neg_risk=neg_risk) for place in (0, 1)]
        if traded & set(pair):
            body.update(clobTokenIds=orjson.dumps(pair).decode(), negRisk=neg_risk)
    if shown_event is not None:
        body["events"] = [shown_event]
    return body


def _add_seeds(folder: Path, markets: dict[str, Json]) -> None:
    """Add what the seed alone knows, as closed markets: none of them was open when the whole open
    universe was recorded. Tokens and times are not in the seed and are left out."""
    conditions = {_text(body, "conditionId") for body in markets.values()}
    shown_events = _shown_events(markets)
    for seed in _seeds(folder):
        condition, number = _text(seed, "condition_id"), _text(seed, "market_id")
        if condition in conditions or number in markets:
            continue
        markets[number] = _from_seed(seed, _event_of(_text(seed, "event_id"), shown_events))


def _from_seed(seed: Json, shown_event: Json | None) -> Json:
    number, question = _text(seed, "market_id"), _text(seed, "question")
    body: Json = {
        "id": number,
        "conditionId": _text(seed, "condition_id"),
        "question": question,
        "slug": fake_text.slug_of(question, int(number)),
        "outcomes": '["Yes", "No"]',
        "active": True,
        "closed": True,
        "archived": False,
    }
    if seed.get("resolved_outcome"):
        won = _text(seed, "resolved_outcome") == "YES"
        body.update(outcomePrices='["1", "0"]' if won else '["0", "1"]')
        body.update(closedTime=seed.get("resolved_at"), umaResolutionStatus="resolved")
    if shown_event is not None:
        body["events"] = [shown_event]
    return body


def _untrimmed(trimmed: Json, number: int, event_id: int, title: str) -> Json:
    question = _text(trimmed, "question")
    names = ("conditionId", "question", "outcomes", "outcomePrices", "startDate", "createdAt")
    body: Json = {name: trimmed.get(name) for name in (*names, "endDate", "closedTime")}
    slug = fake_text.slug_of(title, event_id)
    body.update(
        id=str(number),
        slug=fake_text.slug_of(question, number),
        active=True,
        closed=True,
        archived=False,
        volume=str(trimmed.get("volume") or 0),
        volumeNum=trimmed.get("volume"),
        events=[{"id": str(event_id), "slug": slug, "ticker": slug, "title": title}],
    )
    return body


def _tags(
    events: dict[str, Json], labels: dict[str, list[str]], tags: dict[str, Json]
) -> dict[str, int]:
    """Fill `tags` by id; returns ids by slug."""
    for event in events.values():
        for tag in cast(list[Json], event.get("tags") or []):
            tags[str(tag["id"])] = tag
    ids = {_text(tag, "slug"): int(number) for number, tag in tags.items()}
    for slug in sorted({slug for slugs in labels.values() for slug in slugs}):
        if slug not in ids:
            ids[slug] = FIRST_STAND_IN_ID + len(ids)
            label = slug.replace("-", " ").title()
            tags[str(ids[slug])] = {"id": str(ids[slug]), "label": label, "slug": slug}
    return ids


def _strings(body: Json, name: str) -> tuple[str, ...]:
    """A JSON array written into a string; () when absent."""
    text = body.get(name)
    if not isinstance(text, str) or not text:
        return ()
    return tuple(str(value) for value in orjson.loads(text))


def _market(body: Json, labels: dict[str, list[str]], tag_ids: dict[str, int]) -> catalog.Market:
    condition = _text(body, "conditionId").lower()
    shown_events = cast(list[Json] | None, body.get("events"))
    closed = bool(body.get("closed"))
    return catalog.Market(
        id=int(str(body["id"])),
        slug=_text(body, "slug"),
        condition_id=condition,
        question_id=_text(body, "questionID"),
        question=_text(body, "question"),
        outcomes=_strings(body, "outcomes"),
        token_ids=_strings(body, "clobTokenIds"),
        version=str(body.get("version") or "v1"),
        neg_risk=bool(body.get("negRisk")),
        start=moment(body.get("startDate")),
        end=moment(body.get("endDate")),
        created=moment(body.get("createdAt")),
        closed=closed,
        closed_at=moment(body.get("closedTime")) if closed else 0,
        payouts=_payouts(body) if closed else (),
        body={name: value for name, value in body.items() if name not in {"events", "tags"}},
        tags=tuple(sorted(tag_ids[slug] for slug in labels.get(condition or str(body["id"]), ()))),
        event_ids=None
        if shown_events is None
        else tuple(int(str(shown_event["id"])) for shown_event in shown_events),
        icon=_text(body, "icon"),
        uma_status=_text(body, "umaResolutionStatus"),
        volume=_number(body, "volumeNum"),
        liquidity=_number(body, "liquidity"),
    )


def _add_book_row(market: catalog.Market, row: Json | None) -> None:
    """Serve a recorded row of the order book, and know what it says of the end."""
    if row is None:
        return
    market.clob_body, market.closed_by_clob = row, bool(row.get("closed"))
    winners = {
        str(token["token_id"]): bool(token.get("winner"))
        for token in cast(list[Json], row.get("tokens") or [])
    }
    paid = tuple(recorded_ends.WHOLE * winners.get(token, False) for token in market.tokens)
    market.said_by_clob = paid if any(paid) else ()


def _payouts(body: Json) -> tuple[int, ...]:
    """Micro-USDC a share of a settled market, () when its prices say nothing clear."""
    prices = [float(price) for price in _strings(body, "outcomePrices")]
    settled = bool(prices) and sum(prices) == 1 and all(price in {0, 0.5, 1} for price in prices)
    return tuple(round(price * 1e6) for price in prices) if settled else ()


def _events(
    built: Sequence[catalog.Market], markets: dict[str, Json], full: dict[str, Json]
) -> list[catalog.Event]:
    """Events from their own recordings, or from what the markets embed."""
    members: dict[int, list[catalog.Market]] = {}
    bodies: dict[int, Json] = {int(number): body for number, body in full.items()}
    for market in built:
        for shown_event in cast(list[Json], markets[str(market.id)].get("events") or []):
            number = int(str(shown_event["id"]))
            members.setdefault(number, []).append(market)
            bodies.setdefault(number, shown_event)
    return [_event(number, bodies[number], members[number]) for number in sorted(members)]


def _event(number: int, body: Json, members: Sequence[catalog.Market]) -> catalog.Event:
    closed = bool(body.get("closed", all(market.closed for market in members)))
    own_tags = [int(str(tag["id"])) for tag in cast(list[Json], body.get("tags") or [])]
    shown = {name: v for name, v in body.items() if name not in {"markets", "tags", "series"}}
    tags = {*own_tags, *(tag for market in members for tag in market.tags)}
    return catalog.Event(
        id=number,
        slug=_text(body, "slug"),
        title=_text(body, "title"),
        version="v1",
        start=moment(body.get("startDate")),
        end=moment(body.get("endDate")),
        created=moment(body.get("creationDate") or body.get("createdAt")),
        closed=closed,
        closed_at=moment(body.get("closedTime")),
        body={**shown, "closed": closed},
        market_ids=tuple(dict.fromkeys(market.id for market in members)),
        tags=tuple(sorted(tags)),
        series=tuple(cast(list[Json], body["series"])) if body.get("series") else None,
        volume=_number(body, "volume"),
        liquidity=_number(body, "liquidity"),
    )
