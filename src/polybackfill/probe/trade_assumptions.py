"""What the program takes for granted about `/v2/trades`, the feed of conditions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable

from polybackfill import formats, units
from polybackfill.kinds import registry
from polybackfill.polymarket import endpoints, pagination, tokens, trade_feed, trade_parser
from polybackfill.probe import pages, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Evidence, Json, Page, Refused, Unseen, sampling

_KINDS = (units.CONDITIONS,)
_FEEDS = (*_KINDS, registry.find_followed("external_trades_raw").name)
_MANY_TOKENS = 10
_MICRO_NOISE = 1e-3  # recorded sizes differ from whole millionths by less
_NUMBER = (int, float)
TEXTS = ("proxy_wallet", "condition_id", "token_id", "side", "title", "outcome", "transaction_hash")
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(("timestamp", "outcome_index"), int),
    **dict.fromkeys(("size", "price"), _NUMBER),
}


def fill_of(row: Json) -> Hashable:
    """What makes a row of a feed the one it is."""
    names = ("transaction_hash", "proxy_wallet", "token_id", "side", "timestamp", "condition_id")
    size = pages.number_of(row.get("size"))
    return (*(str(row.get(name)).lower() for name in names), round(size * 1e6, 1), row.get("type"))


async def _page(evidence: Evidence) -> Page:
    return await samples.first_page(evidence, await samples.market_feed(evidence))


async def _newest(evidence: Evidence) -> str:
    answer = await evidence.first(samples.NEWEST)
    page = pages.data_page(answer)
    return pages.require(bool(page.rows), formats.counted(len(page.rows), "row"))


async def _envelope(evidence: Evidence) -> str:
    newest = await evidence.first(samples.NEWEST)
    pages.check_envelope([newest])  # where it has changed there may be no condition to go on with
    feed = await samples.market_feed(evidence)
    return pages.check_envelope([newest, await evidence.first(feed)])


async def _fields(evidence: Evidence) -> str:
    _check_usable(await samples.newest_fills(evidence))
    return _check_usable(await _page(evidence))


def _check_usable(page: Page) -> str:
    parsed = trade_parser.page(page.answer.body, page.answer.source)
    return pages.check_usable(parsed.fetched_rows, [row.reason for row in parsed.rejected])


async def _types(evidence: Evidence) -> str:
    return pages.check_types((await _page(evidence)).rows, _TYPES)


async def _condition(evidence: Evidence) -> str:
    feed, page = await samples.market_feed(evidence), await _page(evidence)
    pages.require(bool(page.rows), "no row of a condition that was just traded")
    others = {pages.condition_of(row) for row in page.rows} - feed.conditions
    return pages.require(
        not others, f"{formats.counted(len(page.rows), 'row')}, {len(others)} others"
    )


async def _order(evidence: Evidence) -> str:
    _, several = await _batch(evidence, units.MAX_KEYS_PER_BATCH)
    listed = (await samples.newest_fills(evidence), several, await _page(evidence))
    seen = ""
    for page in sorted(listed, key=lambda page: len(set(map(pages.second_of, page.rows)))):
        seconds = [pages.second_of(row) for row in page.rows]
        if len(set(seconds)) > 1:
            seen = pages.check_sorted(seconds, descending=True)
    return seen or pages.check_sorted([], descending=True)


async def _cursor(evidence: Evidence) -> str:
    whole, first, feed = await samples.small_pages(evidence, await samples.market_feed(evidence))
    size = pages.small_size(len(whole.rows))
    answer = await pages.second_page(evidence, feed, first, size)
    return pages.check_continues(whole, first, pages.data_page(answer), fill_of)


async def _page_size(evidence: Evidence) -> str:
    whole, first, _ = await samples.small_pages(evidence, await samples.market_feed(evidence))
    newest, size = await samples.newest_fills(evidence), pages.small_size(len(whole.rows))
    return pages.check_page_size(newest, first, endpoints.PAGE_ROWS, size)


async def _largest_page(evidence: Evidence) -> str:
    feed = samples.NEWEST.with_page_size(endpoints.PAGE_ROWS + 1)
    try:
        page = pages.data_page(await evidence.answer(feed.route, feed.params))
    except Refused as refusal:
        return f"refused with {refusal.status}"
    seen = (
        f"{formats.counted(len(page.rows), 'row')} where {endpoints.PAGE_ROWS + 1:,} were asked for"
    )
    return pages.require(False, f"not refused, {seen}")


async def _bad_cursor(evidence: Evidence) -> str:
    _, first, feed = await samples.small_pages(evidence, await samples.market_feed(evidence))
    return await pages.check_bad_cursor(evidence, feed, first.cursor)


async def _unknown(evidence: Evidence) -> str:
    feed = trade_feed.build_condition_query([samples.NOTHING])
    return await pages.check_unknown(evidence, feed)


async def _batch(evidence: Evidence, most: int) -> tuple[list[str], Page]:
    listed = (await samples.conditions(evidence))[:most]
    if len(listed) < 2:
        raise Unseen("only one condition among the newest fills")
    feed = trade_feed.build_condition_query(listed)
    return listed, await samples.first_page(evidence, feed)


async def _several(evidence: Evidence) -> str:
    try:
        listed, page = await _batch(evidence, units.MAX_KEYS_PER_BATCH)
    except Refused:
        listed, page = await _batch(evidence, 2)
    others = {pages.condition_of(row) for row in page.rows} - set(listed)
    pages.require(not others, f"rows of {len(others)} other conditions")
    oldest = min((pages.second_of(row) for row in page.rows), default=0)
    known = [
        fill_of(row)
        for row in (await samples.newest_fills(evidence)).rows
        if pages.condition_of(row) in listed and pages.second_of(row) > oldest
    ]
    missing = Counter(known) - Counter(map(fill_of, page.rows))
    seen = f"{formats.counted(len(listed), 'id')}, {formats.counted(len(page.rows), 'row')}, "
    return pages.require(not missing, f"{seen}{sum(missing.values()):,} known ones missing")


async def _batch_size(evidence: Evidence) -> str:
    listed, page = await _batch(evidence, units.MAX_KEYS_PER_BATCH)
    return f"{formats.counted(len(listed), 'id')}, {formats.counted(len(page.rows), 'row')}"


async def _both_sides(evidence: Evidence) -> str:
    feed, both = await samples.market_feed(evidence), await _page(evidence)
    shared = _shared_transactions(both.rows)
    if not shared:
        newest = await samples.newest_fills(evidence)
        shared = _shared_transactions(newest.rows)
        pages.require(
            bool(shared), f"{formats.counted(len(newest.rows), 'row')}, none with two wallets"
        )
        condition = Counter(map(pages.condition_of, shared)).most_common(1)[0][0]
        feed = trade_feed.build_condition_query([condition])
        both = await samples.first_page(evidence, feed)
    takers = tuple((name, "true" if name == "taker_only" else said) for name, said in feed.params)
    one = await samples.first_page(evidence, pagination.FeedQuery(feed.route, takers))
    sides, takes = _shares(both.rows), _shares(one.rows)
    common = (sides.keys() & takes.keys() & _shares(shared).keys()) - _cut_ones(both, one)
    if not common:
        raise Unseen("no transaction of two wallets is on both pages")
    # A side under 0.01 share is never listed.
    twice = sum(abs(sides[tx] - 2 * takes[tx]) < 0.02 + 1e-6 * sides[tx] for tx in common)
    seen = f"{twice:,} of {len(common):,} transactions with twice the taker's shares"
    return pages.require(2 * twice > len(common), seen)


def _cut_ones(*listed: Page) -> set[str]:
    """The transactions in which pages end that are followed by another."""
    return {
        str(page.rows[-1].get("transaction_hash"))
        for page in listed
        if page.rows and page.cursor is not None
    }


def _shared_transactions(rows: Iterable[Json]) -> list[Json]:
    """Rows of transactions in which more than one wallet shows."""
    wallets: dict[object, set[str]] = defaultdict(set)
    listed = list(rows)
    for row in listed:
        wallets[row.get("transaction_hash")].add(pages.wallet_of(row))
    return [row for row in listed if len(wallets[row.get("transaction_hash")]) > 1]


def _shares(rows: Iterable[Json]) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[str(row.get("transaction_hash"))] += pages.number_of(row.get("size"))
    return sums


async def _micro(evidence: Evidence) -> str:
    sizes = [pages.number_of(row.get("size")) for row in (await _page(evidence)).rows]
    odd = [size for size in sizes if not abs(size * 1e6 - round(size * 1e6)) < _MICRO_NOISE]
    seen = f"{len(odd):,} of {formats.counted(len(sizes), 'row')} with finer shares"
    return pages.require(not odd, f"{seen}, such as {odd[0]!r}" if odd else seen)


async def _one_second(evidence: Evidence) -> str:
    seconds: dict[object, set[int]] = defaultdict(set)
    for row in (await _page(evidence)).rows:
        seconds[row.get("transaction_hash")].add(pages.second_of(row))
    split = sum(len(rows) > 1 for rows in seconds.values())
    seen = f"{split:,} of {len(seconds):,} transactions in more than one second"
    return pages.require(not split, seen)


async def _tokens(evidence: Evidence) -> str:
    pairs = {
        (pages.condition_of(row), str(row.get("token_id"))): row.get("outcome_index")
        for row in (await samples.newest_fills(evidence)).rows
        if not samples.is_structural(pages.condition_of(row))
    }
    known = [(*pair, index) for pair, index in pairs.items() if pair[0] and index in {0, 1}]
    if not known:
        raise Unseen("no fill with a known outcome")
    looked_at = known[:_MANY_TOKENS]
    fitting = sum(
        tokens.outcome_index_of(condition, token) == index for condition, token, index in looked_at
    )
    seen = f"{fitting} of {len(looked_at)} token ids follow from their condition"
    return pages.require(2 * fitting > len(looked_at), seen)


async def _padded(evidence: Evidence) -> str:
    for closed in (False, True):
        with sampling():
            listed = await samples.structural_markets(evidence, closed=closed)
        for row in listed.rows:
            condition = pages.condition_of(row)
            traded = pages.number_of(row.get("volumeNum")) > 0
            if traded and samples.is_structural(condition):
                feed = trade_feed.build_condition_query([condition])
                page = await samples.first_page(evidence, feed)
                seen = f"{formats.counted(len(page.rows), 'row')} of a market of Protocol V2"
                return pages.require(bool(page.rows), seen)
    raise Unseen("no traded market of Protocol V2 is listed")


ASSUMPTIONS = (
    Assumption(
        "trades.newest",
        "/v2/trades?taker_only=false",
        "the newest fills of all markets are listed",
        "the probe's own samples",
        (),
        False,
        _newest,
    ),
    Assumption(
        "trades.envelope",
        "/v2/trades?condition=…",
        "{data, pagination}; has_more says the same as next_cursor",
        "the proven end of a condition's feed",
        _FEEDS,
        True,
        _envelope,
    ),
    Assumption(
        "trades.fields",
        "/v2/trades?condition=…",
        "every row has the fields that the parser needs",
        "every stored trade; a row that cannot be read is set aside",
        _FEEDS,
        True,
        _fields,
    ),
    Assumption(
        "trades.types",
        "/v2/trades?condition=…",
        "numbers are numbers, ids are text, seconds are integers",
        "reading a page in one typed pass, which is fast",
        _KINDS,
        False,
        _types,
    ),
    Assumption(
        "trades.condition",
        "/v2/trades?condition=…",
        "rows of that condition alone, and those that were just seen",
        "conditions: an ignored filter would store another market's fills",
        _KINDS,
        True,
        _condition,
    ),
    Assumption(
        "trades.several",
        "/v2/trades?condition=A,B,…",
        "one feed of all these conditions and of no other, nothing left out",
        "conditions: small markets share a walk",
        _KINDS,
        True,
        _several,
    ),
    Assumption(
        "trades.batch",
        "/v2/trades?condition=(20 ids)",
        "20 ids are accepted",
        "conditions: a batch that is refused is split, which costs requests",
        _KINDS,
        False,
        _batch_size,
    ),
    Assumption(
        "trades.both_sides",
        "/v2/trades?condition=…&taker_only=false, and true",
        "false shows both sides of a fill: twice the taker's shares",
        "conditions: the fills of makers",
        _FEEDS,
        True,
        _both_sides,
    ),
    Assumption(
        "trades.order",
        "/v2/trades?condition=…, and of all markets",
        "newest first",
        "conditions: whole seconds, resume points, the end of a window",
        _FEEDS,
        True,
        _order,
    ),
    Assumption(
        "trades.cursor",
        "/v2/trades?condition=…&limit=…&cursor=…",
        "the next page goes on where the first ended: no gap, no overlap",
        "conditions: every page but the first",
        _KINDS,
        True,
        _cursor,
    ),
    Assumption(
        "trades.bad_cursor",
        "/v2/trades?…&cursor=(damaged)",
        "refused with 400",
        "conditions, wallets: an invalid cursor begins the walk anew",
        (units.CONDITIONS, units.WALLETS),
        True,
        _bad_cursor,
    ),
    Assumption(
        "trades.page_size",
        "/v2/trades?limit=1000, and a smaller one",
        "pages have the requested length",
        "requests: a page of 1,000 rows is the largest there is",
        _KINDS,
        False,
        _page_size,
    ),
    Assumption(
        "trades.largest_page",
        "/v2/trades?limit=1001",
        "refused: 1,000 rows are the most",
        "requests: longer pages would save some",
        _KINDS,
        False,
        _largest_page,
    ),
    Assumption(
        "trades.unknown",
        "/v2/trades?condition=(unknown)",
        "200 with data [] or null",
        "conditions nobody traded are done, not in error",
        _KINDS,
        False,
        _unknown,
    ),
    Assumption(
        "trades.padded",
        "/v2/trades?condition=(Protocol V2, 64 digits)",
        "a market of Protocol V2 answers to its padded id",
        "conditions: such ids are padded with 00 before each request",
        _KINDS,
        True,
        _padded,
    ),
    Assumption(
        "trades.micro_shares",
        "/v2/trades?condition=…",
        "sizes are whole millionths of a share",
        "the identity of a fill",
        (units.CONDITIONS, units.WALLETS),
        True,
        _micro,
    ),
    Assumption(
        "trades.one_second",
        "/v2/trades?condition=…",
        "the rows of a transaction share one second",
        "numbering equal fills of one transaction",
        (units.CONDITIONS, units.WALLETS),
        True,
        _one_second,
    ),
    Assumption(
        "trades.tokens",
        "/v2/trades?taker_only=false",
        "a token id follows from condition and outcome",
        "repairing an unknown outcome_index; detecting another market's row",
        (units.CONDITIONS, units.WALLETS),
        True,
        _tokens,
    ),
)
