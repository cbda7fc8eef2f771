"""What the program takes for granted about the service around the rows."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from http import HTTPStatus

from polybackfill import formats
from polybackfill.kinds import user_stats
from polybackfill.polymarket import (
    coerce,
    endpoints,
    official_figures,
    parsing,
    position_parser,
    source_status,
    trade_parser,
)
from polybackfill.probe import pages, position_assumptions, resolution_assumptions, samples
from polybackfill.probe.assumption import Assumption
from polybackfill.probe.evidence import Answer, Broken, Evidence, Refused, Unseen, sampling

_LAG_S = 120.0  # how far behind an event the source may be, as readings of positions assume
_CLOCKS_APART_S = 120.0
_DAY_S = 86_400
# Names that services give the number of requests a window allows; draft-ietf-httpapi-ratelimit
# and its older X- forms.
_LIMIT_HEADERS = ("ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit")
_ENDING_HEADERS = ("sunset", "deprecation")
_EVENT_ID_LIMIT = 2**31


async def _settled(evidence: Evidence) -> list[Answer]:
    """Some answers of each host, and whatever else has come."""
    with sampling():
        await evidence.first(samples.NEWEST)
        for route in (endpoints.MARKETS, endpoints.EVENTS):
            await evidence.first(samples.list_feed(route, closed=True))
    return evidence.answers()


async def _status(evidence: Evidence) -> str:
    answer = await evidence.answer(endpoints.STATUS, ())
    with pages.contradicting():
        lag_s = source_status.parse_lag_s(answer.body, answer.url)
    if lag_s is None:
        raise Broken("no lag in the answer")
    return pages.require(lag_s <= _LAG_S, f"{lag_s:,.0f} s behind the chain")


async def _user_volume(evidence: Evidence) -> str:
    feed = await samples.wallet_feed(evidence)
    with sampling():
        rows = (await samples.first_page(evidence, feed)).rows
    fills = [row for row in rows if row.get("type") == "TRADE"]
    if not fills:
        raise Unseen("a wallet without fills on its first page")
    day = pages.second_of(fills[0]) // _DAY_S
    known = sum(pages.second_of(row) // _DAY_S == day for row in fills)
    second = str(pages.second_of(fills[0]))
    query = (("user", f"0x{feed.wallet}"), ("start", second), ("end", second))
    answer = await evidence.answer(endpoints.USER_VOLUME, query)
    with pages.contradicting():
        volume = official_figures.parse_user_volume(answer.body, answer.url)
    seen = f"{volume.trade_count:,} fills of a day of which {known:,} are known"
    return pages.require(volume.trade_count >= known, seen)


async def _user_stats(evidence: Evidence) -> str:
    feed = await samples.wallet_feed(evidence)
    wallet = feed.wallet or ""
    query = user_stats.build_query(wallet)
    try:
        answer = await evidence.answer(query.route, query.params)
    except Refused as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:
            raise Unseen("the route is not served; figures stay unknown") from refusal
        raise
    with pages.contradicting():
        source = parsing.ResponseSource(query.route.name, answer.url, "", 0)
        parsed = user_stats.read(wallet, answer.body, source)
    figures = [row.economic_pnl for row in parsed.rows if row.economic_pnl is not None]
    return pages.require(bool(figures), f"{formats.counted(len(figures), 'profit')} of a wallet")


async def _live_volume(evidence: Evidence) -> str:
    with sampling():
        page = await samples.list_page(evidence, samples.list_feed(endpoints.EVENTS, closed=True))
    ids = [coerce.text(row.get("id")) for row in page.rows if coerce.objects(row.get("markets"))]
    usable = [event for event in ids if event.isdecimal() and 0 < int(event) < _EVENT_ID_LIMIT]
    if not usable:
        raise Unseen("no event with a number")
    answer = await evidence.answer(endpoints.LIVE_VOLUME, (("event_id", usable[-1]),))
    content = answer.fields.get("data")
    groups = coerce.objects(content if isinstance(content, list) else [content])
    listed = [row for group in groups for row in coerce.objects(group.get("conditions"))]
    named = [row for row in listed if pages.condition_of(row) and "taker_volume" in row]
    return pages.require(bool(named), f"{formats.counted(len(named), 'condition')} of an event")


async def _limits(evidence: Evidence) -> str:
    limits_told, low = set(), set()
    for answer in await _settled(evidence):
        for name, value in _lower(answer.headers).items():
            number, window = re.search(r"\d+", value), re.search(r"\bw=(\d+)", value)
            if name not in _LIMIT_HEADERS or number is None:
                continue
            window_s = float(window[1]) if window else endpoints.WINDOW_S
            limits_told.add(f"{answer.route.name}: {name} {value}")
            budget = endpoints.PUBLISHED[answer.route.budgets[0]]
            if int(number[0]) * budget.window_s < budget.requests * window_s:
                low.add(f"{answer.route.name}: {name} {value}")
    shown = "; ".join(sorted(low or limits_told)) or "no header names one"
    return pages.require(not low, shown)


async def _sunset(evidence: Evidence) -> str:
    sunset = {
        f"{answer.route.name} says {name}: {value}"
        for answer in await _settled(evidence)
        for name, value in _lower(answer.headers).items()
        if name in _ENDING_HEADERS
    }
    return pages.require(not sunset, "; ".join(sorted(sunset)) or "no route says that it ends")


async def _cache(evidence: Evidence) -> str:
    ages = [pages.number_of(_lower(one.headers).get("age")) for one in await _settled(evidence)]
    oldest = max((age for age in ages if age > 0), default=0.0)
    return pages.require(not oldest, f"the oldest of {len(ages)} answers was {oldest:.0f} s old")


async def _clock(evidence: Evidence) -> str:
    with sampling():
        answer = await evidence.first(samples.NEWEST)
    said = _lower(answer.headers).get("date", "")
    try:
        moment = email.utils.parsedate_to_datetime(said).timestamp()
    except ValueError as problem:
        raise Unseen("answers carry no date") from problem
    apart_s = moment - answer.source.fetched_at
    seen = f"the API's clock is {abs(apart_s):,.0f} s {'ahead' if apart_s > 0 else 'behind'}"
    return pages.require(abs(apart_s) <= _CLOCKS_APART_S, seen)


async def _errors(evidence: Evidence) -> str:
    feed = await samples.market_feed(evidence)
    _, first, small = await samples.small_pages(evidence, feed)
    refusal = await pages.refusal_of(evidence, small, first.cursor)
    return pages.require("cursor" in str(refusal), str(refusal))


async def _known_fields(evidence: Evidence) -> str:
    wallet = await samples.wallet_feed(evidence)
    with sampling():
        looked_at = [
            (await samples.newest_fills(evidence), trade_parser.KNOWN_FIELDS),
            (await samples.first_page(evidence, wallet), trade_parser.KNOWN_FIELDS),
            (await position_assumptions.open_page(evidence), position_parser.KNOWN_FIELDS),
            (await resolution_assumptions.page(evidence), resolution_assumptions.KNOWN_FIELDS),
        ]
    new = {
        name for page, known in looked_at for row in page.rows for name in row if name not in known
    }
    return pages.require(not new, ", ".join(sorted(new)) or "no new field")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


ASSUMPTIONS = (
    Assumption(
        "service.status",
        "/v2/status",
        "the activity feed's age, at most 120 s",
        "receipts, and reading again what changed meanwhile",
        (),
        False,
        _status,
    ),
    Assumption(
        "service.user_volume",
        "/v2/user-volume?user=…&start=…&end=…",
        "the fills of whole UTC days, at least those known",
        "validate: comparing wallets with the API",
        (),
        False,
        _user_volume,
    ),
    Assumption(
        "service.user_stats",
        "/v2/user-stats?user=…",
        "economic_pnl of the wallet that was asked for",
        "Polymarket's own figure beside ours",
        ("user-stats",),
        True,
        _user_stats,
    ),
    Assumption(
        "service.live_volume",
        "/v2/live-volume?event_id=…",
        "taker_volume of each condition of an event",
        "validate: an independent figure for a market's volume",
        (),
        False,
        _live_volume,
    ),
    Assumption(
        "service.errors",
        "/v2/trades?…&cursor=(damaged)",
        "the refusal says what is wrong",
        "messages of units in error",
        (),
        False,
        _errors,
    ),
    Assumption(
        "service.limits",
        "headers of all answers",
        "no header names a limit below the published ones",
        "the request rate; a lower limit shows only as refusals",
        (),
        False,
        _limits,
    ),
    Assumption(
        "service.ending",
        "headers of all answers",
        "no route announces its end (Sunset, Deprecation)",
        "every route the program asks",
        (),
        False,
        _sunset,
    ),
    Assumption(
        "service.cache",
        "headers of first pages, asked with a new parameter",
        "no answer comes out of a cache",
        "the newest rows; what a cache holds back is read by the next run",
        (),
        False,
        _cache,
    ),
    Assumption(
        "service.clock",
        "the Date of an answer",
        "within 120 s of this machine's clock",
        "stop times, and which version of a row is the newest",
        (),
        False,
        _clock,
    ),
    Assumption(
        "service.fields",
        "rows of all routes of the Data API",
        "no field that the program does not know",
        "what is stored; a new field is not",
        (),
        False,
        _known_fields,
    ),
)
