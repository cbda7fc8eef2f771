"""The generated markets, events and tags; the odd ones are in `edge_case_markets`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from polymarket_sandbox import catalog, fake_text, fees, listings, tokens

# UMA CTF adapter and neg-risk adapter on Polygon, the oracles behind real condition ids.
UMA_ORACLE = "0x6a9d222616c90fca5754cd1333cfd9b7fb6a4f74"
NEG_RISK_ORACLE = "0xd91e80cf2e7be2e162c6513ced06f1dd0da35296"

MINUTE, HOUR, DAY = 60, 3_600, 86_400
YEAR = 365 * DAY
YES_NO = ("Yes", "No")
WHOLE = 1_000_000  # micro-USDC a share
WON_FIRST, WON_SECOND, TIED = (1_000_000, 0), (0, 1_000_000), (500_000, 500_000)
PART_PAYOUTS = ((300_000, 700_000), (250_000, 750_000), (875_000, 125_000))
CANDIDATES = "ABCDEFGH"
_ICONS = [f"https://polymarket-upload.s3.us-east-2.amazonaws.com/icon-{n}.png" for n in range(50)]


@dataclass
class CatalogDraft:
    """The markets in the making. `windows`: first and last second of trading by market id;
    `special`: market ids by name; `neg_risk_groups`: market ids that exclude each other."""

    now: int
    rng: random.Random
    markets: list[catalog.Market] = field(default_factory=list)
    events: list[catalog.Event] = field(default_factory=list)
    tags: list[catalog.Tag] = field(default_factory=list)
    windows: dict[int, tuple[int, int]] = field(default_factory=dict)
    special: dict[str, int] = field(default_factory=dict)
    neg_risk_groups: list[tuple[int, ...]] = field(default_factory=list)
    tag_ids: dict[str, int] = field(default_factory=dict)
    next_market_id: int = 500_000
    next_event_id: int = 20_000


def new_draft(*, now: int, seed: int) -> CatalogDraft:
    """A draft without markets; its tags are there."""
    draft = CatalogDraft(now=now, rng=random.Random(f"markets-{seed}"))
    draft.tags = [_tag(number, label, now) for number, label in enumerate(fake_text.TAGS)]
    draft.tag_ids = {tag.label: tag.id for tag in draft.tags}
    return draft


def add_random_markets(draft: CatalogDraft, *, count: int, events: int | None) -> None:
    """Add markets until there are `count`, in about `events` events when that is given; volumes
    are filled in once trades exist."""
    makers: tuple[Callable[[CatalogDraft, int], None], ...] = (_add_up_down, _add_topic, _add_match)
    while len(draft.markets) < count:
        room = count - len(draft.markets)
        size = 1
        if events is not None:
            size = _event_size(draft.rng, room, events - len(draft.events))
        elif room >= 4 and draft.rng.random() < 0.12:
            size = min(room, draft.rng.randint(3, 6))
        if size == 1:
            draft.rng.choices(makers, weights=(45, 30, 25))[0](draft, room)
        elif events is None or (2 < size <= len(CANDIDATES) and draft.rng.random() < 0.5):
            _add_neg_risk(draft, size)
        else:
            _add_series(draft, size)


def _event_size(rng: random.Random, room: int, left: int) -> int:
    """Markets of the next event, so that `left` more events take up `room` markets."""
    if left <= 1:
        return room
    mean = room / left
    drawn = round(rng.triangular(1, 2 * mean - 1)) if mean > 1 else 1
    return max(1, min(drawn, room - left + 1))


def sum_volumes(markets: Sequence[catalog.Market], events: Sequence[catalog.Event]) -> None:
    """Give each event what its markets have together."""
    by_id = {market.id: market for market in markets}
    for event in events:
        members = [by_id[number] for number in event.market_ids]
        event.volume = round(sum(market.volume for market in members), 6)
        event.liquidity = round(sum(market.liquidity for market in members), 6)


def build_catalog(draft: CatalogDraft) -> catalog.Catalog:
    """The catalog, once the markets have their volumes; CLOB repeats two markets."""
    sum_volumes(draft.markets, draft.events)
    known = [place for place, market in enumerate(draft.markets) if market.in_clob]
    oldest_first = sorted(known, key=lambda i: draft.markets[i].created)
    repeated = [oldest_first[3], oldest_first[7]]
    return catalog.Catalog(
        draft.markets,
        draft.events,
        draft.tags,
        [*oldest_first, *repeated],
        render_market=listings.market_body,
        render_event=listings.event_body,
    )


def _tag(number: int, label: str, now: int) -> catalog.Tag:
    slug = label.lower().replace(" ", "-")
    body = listings.tag_body(number * 37 + 2, label, slug, now - 700 * DAY)
    return catalog.Tag(number * 37 + 2, label, slug, body)


def new_market(
    draft: CatalogDraft,
    question: str,
    outcomes: tuple[str, ...],
    *,
    slug: str | None = None,
    neg_risk: bool = False,
    module: int | None = None,
) -> catalog.Market:
    """A market with real ids, not yet placed in time. `module` makes a Protocol V2 one."""
    rng = draft.rng
    draft.next_market_id += rng.randint(1, 40)
    market_id = draft.next_market_id
    question_id, condition = _condition(rng, len(outcomes), neg_risk=neg_risk)
    held: tuple[str, ...] | None = None
    if module is not None:
        condition = tokens.structural_id(module, question_id)
        held = tuple(tokens.position_id(condition, index) for index in range(len(outcomes)))
    market = catalog.Market(
        id=market_id,
        slug=slug or fake_text.slug_of(question, market_id),
        condition_id=condition,
        question_id="0x" + question_id.hex(),
        question=question,
        outcomes=outcomes,
        token_ids=held,
        version="v1" if module is None else "v2",
        neg_risk=neg_risk,
        start=0,
        end=0,
        created=0,
        closed=False,
        closed_at=0,
        payouts=(),
        icon=_ICONS[market_id % len(_ICONS)],
        liquidity=round(rng.uniform(0, 5_000), 5),
    )
    draft.markets.append(market)
    return market


def _condition(rng: random.Random, outcomes: int, *, neg_risk: bool) -> tuple[bytes, str]:
    """Question id and condition id; never one that looks structural (01.., 02.., 03.. with 00)."""
    oracle = NEG_RISK_ORACLE if neg_risk else UMA_ORACLE
    while True:
        question_id = rng.randbytes(32)
        condition = tokens.condition_id(oracle, question_id, outcomes)
        if condition[2:4] not in {"01", "02", "03"}:
            return question_id, condition


def set_trading_window(draft: CatalogDraft, market: catalog.Market, first: int, last: int) -> None:
    """Open for trading from `first` to `last`; settled when that lies in the past."""
    rng = draft.rng
    market.created = first - rng.randint(MINUTE, HOUR)
    market.start = market.created + rng.randint(1, 60)
    market.end = last
    draft.windows[market.id] = (first, min(last, draft.now - 5))
    if last < draft.now - HOUR:
        market.closed = True
        market.closed_at = last + rng.randint(5, 45 * MINUTE)
        market.payouts = _payouts(rng, len(market.outcomes))
        market.uma_status = rng.choice(("resolved", "resolved", "settled", ""))
        if max(market.payouts) < WHOLE:
            market.uma_status = "resolved"  # the prices alone would look like an open market's


def _payouts(rng: random.Random, outcomes: int) -> tuple[int, ...]:
    if outcomes != 2:
        return tuple(WHOLE if index == 0 else 0 for index in range(outcomes))
    part = PART_PAYOUTS[rng.randrange(len(PART_PAYOUTS))]
    return rng.choices((WON_FIRST, WON_SECOND, TIED, part), weights=(47, 47, 4, 2))[0]


def new_event(
    draft: CatalogDraft,
    title: str,
    members: list[catalog.Market],
    *,
    tags: Sequence[str],
    slug: str | None = None,
    series: tuple[catalog.Json, ...] | None = None,
) -> None:
    """An event of these markets; two markets in three carry its tags themselves. An event of one
    market has the market's slug.
    """
    draft.next_event_id += draft.rng.randint(1, 30)
    event_id = draft.next_event_id
    closed = all(market.closed for market in members)
    own_slug = members[0].slug if len(members) == 1 else fake_text.slug_of(title, event_id)
    tag_ids = tuple(sorted(draft.tag_ids[label] for label in tags))
    for market in members:
        market.event_ids = (event_id,)
        market.tags = tag_ids if market.id % 3 else ()
        market.fee_subject = fees.subject(tags)
    draft.events.append(
        catalog.Event(
            id=event_id,
            slug=slug or own_slug,
            title=title,
            version=members[0].version,
            start=min(market.start for market in members),
            end=max(market.end for market in members),
            created=min(market.created for market in members),
            closed=closed,
            closed_at=max(market.closed_at for market in members) if closed else 0,
            market_ids=tuple(market.id for market in members),
            tags=tag_ids,
            series=series,
        )
    )


def _moment(draft: CatalogDraft) -> int:
    """A second of the last two and a half years, the recent ones likelier."""
    return draft.now - DAY - int(880 * DAY * draft.rng.random() ** 2.2)


def _add_up_down(draft: CatalogDraft, _room: int) -> None:
    rng = draft.rng
    coin, short = rng.choice(fake_text.COINS)
    start = _moment(draft) // (15 * MINUTE) * (15 * MINUTE)
    title = f"{coin} Up or Down - window {start}"
    market = new_market(draft, title, ("Up", "Down"), slug=f"{short}-updown-15m-{start}")
    market.slug = f"{market.slug}-{market.id}"
    set_trading_window(draft, market, start, start + 15 * MINUTE)
    market.created = market.start = start - DAY
    series = {"id": str(10_192 + len(short)), "slug": f"{short}-up-or-down-15m"}
    listed: tuple[catalog.Json, ...] = ({**series, "title": f"{coin} Up or Down 15m"},)
    new_event(draft, title, [market], tags=fake_text.UP_DOWN_TAGS, series=listed)


def binary(draft: CatalogDraft, title: str) -> catalog.Market:
    market = new_market(draft, title, YES_NO)
    first = _moment(draft)
    set_trading_window(draft, market, first, first + draft.rng.randint(3, 400) * DAY)
    return market


def _add_topic(draft: CatalogDraft, _room: int) -> None:
    title, tags = fake_text.topic(draft.rng)
    new_event(draft, title, [binary(draft, title)], tags=tags)


def _add_series(draft: CatalogDraft, size: int) -> None:
    """Several independent questions of one topic."""
    title, tags = fake_text.topic(draft.rng)
    cases = (f"{title.strip()} Case {number}" for number in range(1, size + 1))
    new_event(draft, title, [binary(draft, case) for case in cases], tags=tags)


def _add_match(draft: CatalogDraft, _room: int) -> None:
    home, guest = draft.rng.sample(fake_text.TEAMS, 2)
    market = new_market(draft, f"{home} vs. {guest}", (home, guest))
    first = _moment(draft)
    set_trading_window(draft, market, first, first + draft.rng.randint(1, 9) * DAY)
    new_event(draft, market.question, [market], tags=draft.rng.choice(fake_text.MATCH_TAGS))


def share_neg_risk_id(members: Sequence[catalog.Market]) -> None:
    """Give the markets of a negative-risk event their common id, whose last byte is zero."""
    common = tokens.keccak256(f"negative risk {members[0].condition_id}".encode()).hex()
    for market in members:
        market.neg_risk_market_id = f"0x{common[:62]}00"


def _add_neg_risk(draft: CatalogDraft, size: int) -> None:
    title = f"Who wins {draft.rng.choice(fake_text.PLACES)} {draft.rng.randint(2026, 2029)}?"
    first = _moment(draft)
    last = first + draft.rng.randint(20, 700) * DAY
    members = [
        new_market(draft, f"Will candidate {letter} win? {title}", YES_NO, neg_risk=True)
        for letter in CANDIDATES[:size]
    ]
    for rank, market in enumerate(members):
        set_trading_window(draft, market, first, last)
        if market.closed:
            market.payouts = WON_FIRST if rank == 0 else WON_SECOND
    share_neg_risk_id(members)
    draft.neg_risk_groups.append(tuple(market.id for market in members))
    new_event(draft, title, members, tags=fake_text.ELECTION_TAGS)
