"""However a history is cut, ordered, interrupted and spelled, each real fill is stored once."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, cycle
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import virtual_clock

from polybackfill import records
from polybackfill.polymarket import pagination, tokens, trade_feed

WALLETS = ["4f1a09c2be77d3e5528bb0f1a6d0c93e417b2a68", "c2ad03f79ca3f3c17d8c7de2612ce0c89b7d40ed"]
CONDITIONS = [
    "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb",
    "968aa5e188a733a873ba95e738620534a6e5af0b6f51d9b09239dc0557af2895",
    "01" + "3c" * 30 + "00",
]
SECONDS = range(1_700_000_000, 1_700_000_006)
SIZES = [5.0, 249.0, 0.3, 0.30000000000000004, 199.372308]
CRASH_MOMENTS = ["fetched", "half stored", "stored", "recorded"]
PRICES = [0.5, 0.97, 0.3200000233, 0.123456789012345]


@dataclass(frozen=True)
class Fill:
    """What happened on chain. `kind` TRADE, or something that only a wallet's feed shows."""

    wallet: str
    condition: str
    outcome: int
    side: str
    size: float
    price: float
    second: int
    tx: int
    kind: str = "TRADE"

    @property
    def token(self) -> str:
        return tokens.token_ids(self.condition, self.outcome)[0]

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two fills the same to anybody who reads the API."""
        micro_shares = round(self.size * 1e6)
        token = self.token if self.kind == "TRADE" else self.condition
        return (self.tx, self.wallet, token, self.side, micro_shares, self.second, self.kind)


@dataclass(frozen=True)
class Spelling:
    """How one answer renders what it shows."""

    whole_numbers: bool
    upper_case: bool
    enriched: bool
    short_price: bool
    noisy: bool

    def row(self, fill: Fill) -> dict[str, Any]:
        trade = fill.kind == "TRADE"
        size = math.nextafter(fill.size, math.inf) if self.noisy else fill.size
        condition = fill.condition.removesuffix("00") if self.enriched else fill.condition
        return {
            "proxy_wallet": self._hex(fill.wallet),
            "condition_id": self._hex(
                condition if fill.condition.endswith("00") else fill.condition
            ),
            "token_id": fill.token if trade else "",
            "side": fill.side if trade else "",
            "size": int(size) if self.whole_numbers and size % 1 == 0 else size,
            "price": (round(fill.price, 10) if self.short_price else fill.price) if trade else 0,
            "timestamp": fill.second,
            "title": "A title, renamed" if self.enriched else "",
            "outcome": "Yes" if self.enriched and trade else "",
            "outcome_index": fill.outcome if self.enriched and trade else 999,
            "transaction_hash": self._hex(f"{fill.tx:064x}"),
            "usdc_size": fill.size * fill.price * (1.02 if self.enriched else 1),
        }

    def _hex(self, digits: str) -> str:
        return "0x" + (digits.upper() if self.upper_case else digits)


@dataclass(frozen=True)
class Reply:
    body: bytes
    url: str


@dataclass
class KeysetServer:
    """A feed server with cursors on (second, sequence number), as the API has them."""

    fills: list[Fill]
    page_sizes: Sequence[int]
    spellings: Sequence[Spelling]
    served: int = 0

    def __post_init__(self) -> None:
        self._sizes = cycle(self.page_sizes)
        self._spellings = cycle(self.spellings)

    async def __call__(self, feed: pagination.FeedQuery, cursor: str | None) -> Reply:
        self.served += 1
        asked = dict(feed.request_params(cursor))
        rows = self._rows(asked)
        if cursor is not None:
            anchor = tuple(map(int, cursor.split(".")[:2]))
            place = [(place > anchor) != feed.descending and place != anchor for place, _ in rows]
            rows = [row for row, is_after in zip(rows, place, strict=True) if is_after]
        else:
            anchor = (-1, -1) if not feed.descending else (2**33, 0)
        size = next(self._sizes)
        shown, more = rows[:size], len(rows) > size
        anchor = shown[-1][0] if shown else anchor
        spelling = next(self._spellings)
        data = [
            spelling.row(fill) | ({"type": fill.kind} if "user" in asked else {})
            for _, fill in shown
        ]
        # An empty page moves no anchor, but its cursor is a new one all the same.
        after = f"{anchor[0]}.{anchor[1]}.{self.served}" if more else None
        page = {"data": data, "pagination": {"has_more": more, "next_cursor": after}}
        return Reply(json.dumps(page).encode(), f"http://x{feed.route.path}?{asked}")

    def _rows(self, asked: dict[str, str]) -> list[tuple[tuple[int, int], Fill]]:
        numbered = [
            ((fill.second, sequence), fill)
            for sequence, fill in enumerate(self.fills)
            if self._answers(fill, asked)
        ]
        return sorted(numbered, key=lambda row: row[0], reverse="user" not in asked)

    @staticmethod
    def _answers(fill: Fill, asked: dict[str, str]) -> bool:
        if "user" in asked:
            in_range = int(asked["start"]) <= fill.second <= int(asked.get("end", 2**33))
            return asked["user"] == "0x" + fill.wallet and in_range
        return fill.kind == "TRADE" and "0x" + fill.condition in asked["condition"].split(",")


@dataclass
class Store:
    """First come, first kept, by id."""

    trades: dict[str, records.Trade] = field(default_factory=dict)
    activities: dict[str, records.Activity] = field(default_factory=dict)

    def insert(self, page: pagination.Page, part: float = 1.0) -> None:
        """`part`: how many of the trades reach the store, when a batch ends among them."""
        assert page.rows_of(records.Rejected) == []
        trades = page.rows_of(records.Trade)
        for trade in trades[: math.ceil(len(trades) * part)]:
            self.trades.setdefault(trade.external_trade_id, trade)
        for activity in page.rows_of(records.Activity):
            self.activities.setdefault(activity.activity_id, activity)


@dataclass(frozen=True)
class Visit:
    """A walk over one feed. Each crash: (pages later, one of CRASH_MOMENTS)."""

    feed: pagination.FeedQuery
    crashes: Sequence[tuple[int, str]] = ()
    abandoned: bool = False


async def run(server: KeysetServer, visit: Visit, store: Store) -> None:
    """Walk until the last crash or, unless abandoned there, to the end."""
    recorded: pagination.Resume | None = None
    last_run = [] if visit.abandoned else [(10**6, "never")]
    for pages_until, moment in [*visit.crashes, *last_run]:
        left = pages_until
        context = pagination.RequestContext(server, virtual_clock.StoppedClock(1.0))
        pages = trade_feed.pages(visit.feed, recorded, context)
        async for page in pages:
            if left == 0 and moment == "fetched":
                break
            if left == 0 and moment == "half stored":
                store.insert(page, part=0.5)
                break
            store.insert(page)
            if left == 0 and moment == "stored":
                break
            told = msgspec.json.encode(page.resume)
            recorded = msgspec.json.decode(told, type=pagination.Resume)
            if page.last:
                return
            if left == 0:
                break
            left -= 1
        await pages.aclose()
    assert visit.abandoned, "the walk never ended"


fills = st.builds(
    Fill,
    wallet=st.sampled_from(WALLETS),
    condition=st.sampled_from(CONDITIONS),
    outcome=st.integers(0, 1),
    side=st.sampled_from(["BUY", "SELL"]),
    size=st.sampled_from(SIZES),
    price=st.sampled_from(PRICES),
    second=st.sampled_from(SECONDS),
    tx=st.integers(1, 3),
    kind=st.sampled_from(["TRADE"] * 9 + ["MERGE"]),
)
# The same fill several times over; its price tells the copies apart, or does not.
repeated_fills = st.tuples(
    fills, st.lists(st.sampled_from(PRICES), min_size=1, max_size=9) | st.just([0.5])
).map(lambda drawn: [replace(drawn[0], price=price) for price in drawn[1]])
histories = (
    st.lists(repeated_fills, max_size=12)
    .map(lambda groups: [*chain.from_iterable(groups)])
    .flatmap(st.permutations)
)
spellings = st.lists(st.builds(Spelling, *[st.booleans()] * 5), min_size=1, max_size=4)
page_sizes = st.lists(st.integers(0, 5), max_size=5).map(lambda sizes: [*sizes, 2])
crash_lists = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(CRASH_MOMENTS)), max_size=4)
bounds = st.none() | st.sampled_from(SECONDS)
wallet_feeds = st.builds(trade_feed.build_wallet_query, st.sampled_from(WALLETS), bounds, bounds)
condition_feeds = st.builds(
    trade_feed.build_condition_query,
    st.lists(st.sampled_from(CONDITIONS), min_size=1, unique=True),
    bounds,
    bounds,
)


@dataclass(frozen=True)
class Scenario:
    """A history, how it is served, what was walked before, and the walks that complete it."""

    history: list[Fill]
    page_sizes: list[int]
    spellings: list[Spelling]
    earlier: list[Visit]
    complete: list[pagination.FeedQuery]
    crashes: list[tuple[int, str]]

    def server(self, late: Sequence[Fill] = ()) -> KeysetServer:
        return KeysetServer([*late, *self.history], self.page_sizes, self.spellings)

    @property
    def trades(self) -> list[Fill]:
        return [fill for fill in self.history if fill.kind == "TRADE"]


scenarios = st.builds(
    Scenario,
    histories,
    page_sizes,
    spellings,
    st.lists(
        st.builds(Visit, wallet_feeds | condition_feeds, crash_lists, st.booleans()), max_size=4
    ),
    st.sampled_from(
        [
            [trade_feed.build_wallet_query(wallet) for wallet in WALLETS],
            [trade_feed.build_condition_query(CONDITIONS)],
            [trade_feed.build_condition_query([condition]) for condition in CONDITIONS],
        ]
    ),
    crash_lists,
)


def run_all(server: KeysetServer, visits: Sequence[Visit], store: Store) -> None:
    async def each() -> None:
        for visit in visits:
            await run(server, visit, store)

    asyncio.run(each())


def keys_of(store: Store) -> Counter[tuple[Any, ...]]:
    """The stored trades in the terms of `Fill.key`."""
    return Counter(
        (
            int(row.tx_hash, 16),
            row.wallet_address,
            row.token_id,
            row.side,
            round(row.shares * 1e6),
            row.trade_timestamp,
            "TRADE",
        )
        for row in store.trades.values()
    )


@settings(max_examples=300, deadline=None)
@given(scenarios)
def test_each_fill_is_stored_once(scenario: Scenario) -> None:
    """Seed 001, trade id: the same page twice and a row pushed over a page boundary add nothing;
    runs split at any page give the same ids.
    """
    store = Store()
    complete = [Visit(feed, scenario.crashes) for feed in scenario.complete]
    run_all(scenario.server(), [*scenario.earlier, *complete], store)
    assert keys_of(store) == Counter(fill.key for fill in scenario.trades)
    # Not only as many rows: each of the equal fills has its own price.
    stored = Counter((row.token_id, round(row.price, 9)) for row in store.trades.values())
    assert stored == Counter((fill.token, round(fill.price, 9)) for fill in scenario.trades)


@settings(max_examples=100, deadline=None)
@given(scenarios)
def test_whatever_else_a_wallet_did_is_stored_once(scenario: Scenario) -> None:
    store = Store()
    wallets = [Visit(trade_feed.build_wallet_query(wallet), scenario.crashes) for wallet in WALLETS]
    run_all(scenario.server(), [*scenario.earlier, *wallets], store)
    stored = Counter(
        (int(row.tx_hash, 16), row.wallet_address, row.condition_id, round(row.shares * 1e6))
        for row in store.activities.values()
    )
    assert stored == Counter(
        (fill.tx, fill.wallet, fill.condition, round(fill.size * 1e6))
        for fill in scenario.history
        if fill.kind != "TRADE"
    )


@settings(max_examples=100, deadline=None)
@given(scenarios, histories)
def test_fills_that_arrive_late_are_stored_once_by_the_next_walk(
    scenario: Scenario, late: list[Fill]
) -> None:
    store = Store()
    run_all(scenario.server(), scenario.earlier, store)
    run_all(scenario.server(late), [Visit(feed) for feed in scenario.complete], store)
    arrived = [fill for fill in late if fill.kind == "TRADE"]
    assert keys_of(store) == Counter(fill.key for fill in [*scenario.trades, *arrived])
