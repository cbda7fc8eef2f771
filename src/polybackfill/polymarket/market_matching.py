"""Which market a condition belongs to, asked from Gamma, believed only when the answer fits.

Gamma ignores a filter it does not know and answers with the first markets of its list; a program
that trusted such an answer once sent every condition to market 12. So a market counts only for the
condition it names itself, that condition must have been asked for, and its token ids must be the
ones that follow from the condition (`tokens`). Markets without token ids of the order book (those
older than it, and Protocol V2, whose ids follow no published rule) are held against the token ids
seen in trades, and where there are none the condition alone decides; `Found.tokens` says which.

Sources: docs.polymarket.com (keyset listings) as read in October 2026; ids are repeated keys, a
list hides closed markets unless asked for them, and Protocol V2 markets unless asked by version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from polybackfill import errors, records
from polybackfill.polymarket import coerce, endpoints, gamma_queries, http, tokens

ROUTE = endpoints.MARKETS
_PAGE = "100"  # the largest the listing gives; an honest answer is never longer than the batch

# Why a condition has no market id.
NOT_FOUND = "market_id_not_found"
FOREIGN = "answer_for_another_condition"
TOKENS_DIFFER = "tokens_do_not_fit"
NO_NUMBER = "market_without_id"
API_404, API_TIMEOUT, API_ERROR = "api_404", "api_timeout", "api_error"

# How the tokens of a found market were held against the condition.
TOKENS_FIT = "fit"
TOKENS_TRADED = "traded"
TOKENS_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class MatchedMarket:
    """A market that fits its condition.

    `tokens`: fit (they follow from the condition), traded (seen in its trades), or unknown.
    """

    market_id: str
    token_ids: tuple[str, ...]
    tokens: str


@dataclass(frozen=True)
class MarketMatches:
    """What one reply says of the conditions asked. `foreign`: markets in it nobody asked for."""

    matched: dict[str, MatchedMarket] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    foreign: int = 0


def query(conditions: Sequence[str], *, closed: bool) -> list[tuple[str, str]]:
    """The parameters that ask for these conditions (64 hex digits), as many as a request may."""
    filters = gamma_queries.condition_params(conditions)
    flag = "true" if closed else "false"
    return [*filters, ("closed", flag), ("version", "v1"), ("version", "v2"), ("limit", _PAGE)]


def match_markets(
    response: http.Response, tokens_by_condition: Mapping[str, Sequence[str]]
) -> MarketMatches:
    """What the reply says of `asked` (condition → token ids seen in its trades).

    A condition that is neither found nor refused was not in the answer. Raises Retry when the reply
    is no list of markets.
    """
    matched: dict[str, MatchedMarket] = {}
    refused: dict[str, str] = {}
    foreign = 0
    for row in _markets(response):
        condition = _condition(row)
        if condition not in tokens_by_condition:
            foreign += 1
            continue
        match = _match_row(row, tokens_by_condition[condition], condition)
        if isinstance(match, str):
            refused[condition] = match
        elif _newer(match, matched.get(condition)):
            matched[condition] = match
    refused = {condition: why for condition, why in refused.items() if condition not in matched}
    return MarketMatches(matched, refused, foreign)


def match_market(
    condition: str, market_id: str, token_ids: Sequence[str], traded: Sequence[str]
) -> MatchedMarket | str:
    """The market if it fits the condition, else the reason why not.

    `traded`: token ids seen in trades of the condition, where there are any.
    """
    if not (market_id.isascii() and market_id.isdigit() and len(market_id) <= 20):
        return NO_NUMBER
    listed = tuple(token for token in token_ids if token)
    fit = tokens.fit(condition, listed)
    if fit:
        return MatchedMarket(market_id, listed, TOKENS_FIT)
    if fit is False:
        return TOKENS_DIFFER
    if not listed or not traded:
        return MatchedMarket(market_id, listed, TOKENS_UNKNOWN)
    return (
        MatchedMarket(market_id, listed, TOKENS_TRADED)
        if set(traded) & set(listed)
        else TOKENS_DIFFER
    )


def reason_of(error: errors.Retry | errors.GiveUp) -> str:
    """What to write down when no answer came."""
    if isinstance(error, errors.Retry):
        return API_TIMEOUT if error.timed_out else API_ERROR
    return API_404 if error.status == 404 else API_ERROR


def _match_row(row: dict[str, Any], traded: Sequence[str], condition: str) -> MatchedMarket | str:
    market_id = row.get("id")
    if isinstance(market_id, int) and not isinstance(market_id, bool):
        market_id = str(market_id)
    if not isinstance(market_id, str):
        return NO_NUMBER
    listed = coerce.outcome_tokens(row, coerce.version(row))
    return match_market(condition, market_id, listed, traded)


def _newer(market: MatchedMarket, other: MatchedMarket | None) -> bool:
    """Two markets may share a condition; the later one stands, as in `api_markets_staging`."""
    return other is None or int(market.market_id) > int(other.market_id)


def _markets(response: http.Response) -> list[dict[str, Any]]:
    try:
        body = orjson.loads(response.body)
    except orjson.JSONDecodeError as error:
        raise errors.Retry(f"GET {response.url}: not JSON: {error}") from error
    rows = body.get("markets") if isinstance(body, dict) else None
    if not isinstance(rows, list):
        raise errors.Retry(f"GET {response.url}: no list of markets in the answer")
    return [row for row in rows if isinstance(row, dict)]


def _condition(row: dict[str, Any]) -> str:
    """The condition the market names, '' when it names none."""
    named = row.get("conditionId")
    if not isinstance(named, str):
        return ""
    try:
        return records.normalise_condition(named)
    except errors.Reject:
        return ""
