"""The generated markets, events and tags, the special ones included."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from polybackfill.sandbox import catalog, listings, tokens, wording

# UMA CTF adapter and neg-risk adapter on Polygon, the oracles behind real condition ids.
UMA_ORACLE = "0x6a9d222616c90fca5754cd1333cfd9b7fb6a4f74"
NEG_RISK_ORACLE = "0xd91e80cf2e7be2e162c6513ced06f1dd0da35296"

MINUTE, HOUR, DAY = 60, 3_600, 86_400
YEAR = 365 * DAY
YES_NO = ("Yes", "No")
WON_FIRST, WON_SECOND, TIED = (1_000_000, 0), (0, 1_000_000), (500_000, 500_000)
BINARY_MODULE, NEG_RISK_MODULE = 1, 2

SPECIAL_MARKETS = (
    "market_busy_second",
    "market_old",
    "market_old_tied",
    "market_three_outcomes",
    "market_no_condition",
    "market_no_condition_key",
    "market_events_null",
    "market_events_absent",
    "market_unlisted",
    "market_v2_binary",
    "market_v2_neg_risk",
    "market_untraded",
    "market_end_in_past",
    "market_no_end",
    "market_zero_zero",
    "market_archived",
    "market_inactive",
)


@dataclass
class Scene:
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
    next_market_id: int = 500_000
    next_event_id: int = 20_000


def generate(*, now: int, seed: int, count: int) -> Scene:
    """A scene of `count` markets; volumes and Gamma bodies are filled in once trades exist."""
    scene = Scene(now=now, rng=random.Random(f"markets-{seed}"))
    scene.tags = [_tag(number, label, now) for number, label in enumerate(wording.TAGS)]
    for name in SPECIAL_MARKETS:
        _special(scene, name)
    for title in wording.STRANGE_TITLES:
        _event(scene, title, [_binary(scene, title)])
    makers: tuple[Callable[[Scene, int], None], ...] = (_add_up_down, _add_topic, _add_match)
    while len(scene.markets) < count:
        room = count - len(scene.markets)
        if room >= 4 and scene.rng.random() < 0.12:
            _add_neg_risk(scene, min(room, scene.rng.randint(3, 6)))
        else:
            scene.rng.choices(makers, weights=(45, 30, 25))[0](scene, room)
    return scene


def finish(scene: Scene) -> catalog.Catalog:
    """The catalog, with the Gamma bodies that need volumes; CLOB repeats two markets."""
    for market in scene.markets:
        market.body = listings.market_body(market)
    by_id = {market.id: market for market in scene.markets}
    for event in scene.events:
        members = [by_id[number] for number in event.market_ids]
        event.volume = round(sum(market.volume for market in members), 6)
        event.liquidity = round(sum(market.liquidity for market in members), 6)
        event.body = listings.event_body(event, members)
    oldest_first = sorted(range(len(scene.markets)), key=lambda i: scene.markets[i].created)
    repeated = [oldest_first[3], oldest_first[7]]
    return catalog.Catalog(scene.markets, scene.events, scene.tags, [*oldest_first, *repeated])


def _tag(number: int, label: str, now: int) -> catalog.Tag:
    slug = label.lower().replace(" ", "-")
    body = listings.tag_body(number * 37 + 2, label, slug, now - 700 * DAY)
    return catalog.Tag(number * 37 + 2, label, slug, body)


def _market(
    scene: Scene,
    question: str,
    outcomes: tuple[str, ...],
    *,
    slug: str | None = None,
    neg_risk: bool = False,
    module: int | None = None,
) -> catalog.Market:
    """A market with real ids, not yet placed in time. `module` makes a Protocol V2 one."""
    rng = scene.rng
    scene.next_market_id += rng.randint(1, 40)
    market_id = scene.next_market_id
    question_id, condition = _condition(rng, len(outcomes), neg_risk=neg_risk)
    if module is None:
        held = tuple(
            tokens.token_id(condition, index, neg_risk=neg_risk) for index in range(len(outcomes))
        )
    else:
        condition = tokens.structural_id(module, question_id)
        held = tuple(tokens.position_id(condition, index) for index in range(len(outcomes)))
    market = catalog.Market(
        id=market_id,
        slug=slug or wording.slug_of(question, market_id),
        condition_id=condition,
        question_id="0x" + question_id.hex(),
        question=question,
        outcomes=outcomes,
        tokens=held,
        version="v1" if module is None else "v2",
        neg_risk=neg_risk,
        start=0,
        end=0,
        created=0,
        closed=False,
        closed_at=0,
        payouts=(),
        body={},
        tags=tuple(sorted({rng.choice(scene.tags).id, rng.choice(scene.tags).id})),
        icon=f"https://polymarket-upload.s3.us-east-2.amazonaws.com/icon-{market_id % 50}.png",
        liquidity=round(rng.uniform(0, 5_000), 5),
    )
    scene.markets.append(market)
    return market


def _condition(rng: random.Random, outcomes: int, *, neg_risk: bool) -> tuple[bytes, str]:
    """Question id and condition id; never one that looks structural (01.., 02.., 03.. with 00)."""
    oracle = NEG_RISK_ORACLE if neg_risk else UMA_ORACLE
    while True:
        question_id = rng.randbytes(32)
        condition = tokens.condition_id(oracle, question_id, outcomes)
        if condition[2:4] not in {"01", "02", "03"}:
            return question_id, condition


def _place(scene: Scene, market: catalog.Market, first: int, last: int) -> None:
    """Open for trading from `first` to `last`; settled when that lies in the past."""
    rng = scene.rng
    market.created = first - rng.randint(MINUTE, HOUR)
    market.start = market.created + rng.randint(1, 60)
    market.end = last
    scene.windows[market.id] = (first, min(last, scene.now - 5))
    if last < scene.now - HOUR:
        market.closed = True
        market.closed_at = last + rng.randint(5, 45 * MINUTE)
        market.payouts = _payouts(rng, len(market.outcomes))
        market.uma_status = rng.choice(("resolved", "resolved", "settled", ""))
        if market.payouts == TIED:
            market.uma_status = "resolved"  # prices of 0.5 alone would look like an open market's


def _payouts(rng: random.Random, outcomes: int) -> tuple[int, ...]:
    if outcomes != 2:
        return tuple(1_000_000 if index == 0 else 0 for index in range(outcomes))
    return rng.choices((WON_FIRST, WON_SECOND, TIED), weights=(48, 48, 4))[0]


def _event(
    scene: Scene,
    title: str,
    members: list[catalog.Market],
    *,
    slug: str | None = None,
    series: tuple[catalog.Json, ...] | None = None,
) -> None:
    scene.next_event_id += scene.rng.randint(1, 30)
    event_id = scene.next_event_id
    closed = all(market.closed for market in members)
    for market in members:
        market.event_ids = (event_id,)
    scene.events.append(
        catalog.Event(
            id=event_id,
            slug=slug or members[0].slug,
            title=title,
            version=members[0].version,
            start=min(market.start for market in members),
            end=max(market.end for market in members),
            created=min(market.created for market in members),
            closed=closed,
            closed_at=max(market.closed_at for market in members) if closed else 0,
            body={},
            market_ids=tuple(market.id for market in members),
            tags=tuple(sorted({tag for market in members for tag in market.tags})),
            series=series,
        )
    )


def _moment(scene: Scene) -> int:
    """A second of the last two and a half years, the recent ones likelier."""
    return scene.now - DAY - int(880 * DAY * scene.rng.random() ** 2.2)


def _add_up_down(scene: Scene, _room: int) -> None:
    rng = scene.rng
    coin, short = rng.choice(wording.COINS)
    start = _moment(scene) // (15 * MINUTE) * (15 * MINUTE)
    title = f"{coin} Up or Down - window {start}"
    market = _market(scene, title, ("Up", "Down"), slug=f"{short}-updown-15m-{start}")
    market.slug = f"{market.slug}-{market.id}"
    _place(scene, market, start, start + 15 * MINUTE)
    market.created = market.start = start - DAY
    series = {"id": str(10_192 + len(short)), "slug": f"{short}-up-or-down-15m"}
    _event(scene, title, [market], series=({**series, "title": f"{coin} Up or Down 15m"},))


def _binary(scene: Scene, title: str) -> catalog.Market:
    market = _market(scene, title, YES_NO)
    first = _moment(scene)
    _place(scene, market, first, first + scene.rng.randint(3, 400) * DAY)
    return market


def _add_topic(scene: Scene, _room: int) -> None:
    title = wording.topic(scene.rng)
    _event(scene, title, [_binary(scene, title)])


def _add_match(scene: Scene, _room: int) -> None:
    home, guest = scene.rng.sample(wording.TEAMS, 2)
    market = _market(scene, f"{home} vs. {guest}", (home, guest))
    first = _moment(scene)
    _place(scene, market, first, first + scene.rng.randint(1, 9) * DAY)
    _event(scene, market.question, [market])


def _add_neg_risk(scene: Scene, size: int) -> None:
    title = f"Who wins {scene.rng.choice(wording.PLACES)} {scene.rng.randint(2026, 2029)}?"
    first = _moment(scene)
    last = first + scene.rng.randint(20, 700) * DAY
    members = [
        _market(scene, f"Will candidate {letter} win? {title}", YES_NO, neg_risk=True)
        for letter in "ABCDEFGH"[:size]
    ]
    for place, market in enumerate(members):
        _place(scene, market, first, last)
        if market.closed:
            market.payouts = WON_FIRST if place == 0 else WON_SECOND
    scene.neg_risk_groups.append(tuple(market.id for market in members))
    _event(scene, title, members)


def _special(scene: Scene, name: str) -> None:
    """One market made on purpose; its name in `scene.special` finds it again."""
    title = f"Sandbox {name.removeprefix('market_').replace('_', ' ')}?"
    outcomes = ("Win", "Draw", "Lose") if name == "market_three_outcomes" else YES_NO
    module = {"market_v2_binary": BINARY_MODULE, "market_v2_neg_risk": NEG_RISK_MODULE}.get(name)
    market = _market(scene, title, outcomes, module=module, neg_risk=module == NEG_RISK_MODULE)
    scene.special[name] = market.id
    _place(scene, market, *_special_window(scene, name))
    if name == "market_old_tied":
        market.payouts, market.uma_status = TIED, "resolved"
    if not name.startswith(("market_no_condition", "market_events", "market_unlisted")):
        _event(scene, title, [market])
    _disfigure(scene, name, market)


def _special_window(scene: Scene, name: str) -> tuple[int, int]:
    now, rng = scene.now, scene.rng
    if name.startswith("market_old"):
        first = now - 5 * YEAR + rng.randint(0, 90) * DAY
        return first, now - 3 * YEAR - 40 * DAY
    if name in {"market_busy_second", "market_unlisted", "market_zero_zero", "market_inactive"}:
        return now - 20 * DAY, now - 12 * DAY
    if name in {"market_three_outcomes", "market_v2_binary"}:
        return now - 90 * DAY, now - 10 * DAY
    return now - 120 * DAY, now + rng.randint(30, 300) * DAY


def _disfigure(scene: Scene, name: str, market: catalog.Market) -> None:
    """What the special markets lack or carry; section 11 of the API's nullability table."""
    if name.startswith("market_no_condition"):
        market.condition_id, market.question_id, market.tokens = "", "", ()
    elif name == "market_unlisted":
        market.listed, market.active = False, False
    elif name == "market_end_in_past":
        market.end = scene.now - 30 * DAY
    elif name == "market_no_end":
        market.end = 0
    elif name == "market_archived":
        market.archived = True
    elif name == "market_zero_zero":
        market.said_by_gamma = (0, 0)
    elif name == "market_inactive":
        market.active = False
