"""How the sandbox breaks each assumption: faults by name, each of which must be noticed alone."""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]

_UNKNOWN = f"{1:040x}"
_SEVERAL = ",0x"


def _rule(kind: str, route: str, match: str = "", **more: Any) -> list[Rule]:
    return [{"kind": kind, "route": route, "match": match, **more}]


def _gone(route: str, *fields: str) -> list[Rule]:
    return _rule("field_gone", route, fields=fields)


def _ignored(route: str, *filters: str, match: str = "") -> list[Rule]:
    return _rule("ignored_filter", route, match, filters=filters)


def _walked(route: str) -> list[list[Rule]]:
    """Pages that do not go on where the one before ended."""
    return [
        _rule("rows_lost", route, "cursor="),
        _rule("rows_repeated", route, "cursor="),
        _rule("cursor_repeat", route),
        _rule("cursor_gone", route),
        _ignored(route, "cursor", "after_cursor", match="cursor="),
    ]


def _list(route: str) -> dict[str, list[list[Rule]]]:
    """Breaks of one of Gamma's lists."""
    return {
        f"{route}.envelope": [_gone(route, route)],
        f"{route}.fields": [_gone(route, "id", "slug", "conditionId")],
        f"{route}.closed": [_ignored(route, "closed")],
        f"{route}.order": [_rule("rows_reversed", route)],
        f"{route}.cursor": _walked(route),
        f"{route}.page_size": [_rule("clamped", route, limit=5)],
        f"{route}.dates": [
            _ignored(route, "start_date_min"),
            _ignored(route, "start_date_max"),
            _rule("rows_lost", route, "start_date_min"),
        ],
    }


BREAKS: dict[str, list[list[Rule]]] = {
    "order_book.envelope": [
        _gone("clob-markets", "data"),
        _gone("clob-markets", "next_cursor"),
        _rule("field_scaled", "clob-markets", fields=["count"], factor=2),
    ],
    "order_book.fields": [_gone("clob-markets", "condition_id", "question_id", "market_slug")],
    "order_book.cursor": [_rule("cursor_opaque", "clob-markets")],
    "order_book.offsets": [_ignored("clob-markets", "next_cursor")],
    "order_book.page_size": [_rule("clamped", "clob-markets", limit=10)],
    "order_book.end": [_ignored("clob-markets", "next_cursor", match="next_cursor=MTAwMDAwMDAw")],
    "order_book.single": [_rule("wrong_rows", "clob-market"), _rule("empty", "clob-market")],
    "order_book.unknown": [_rule("accepted", "clob-market")],
    **_list("markets"),
    **_list("events"),
    "markets.bad_cursor": [_rule("accepted", "markets", "after_cursor=")],
    "markets.undated": [_rule("rows_reversed", "markets", "order=startDate")],
    "markets.versions": [_ignored("markets", "version")],
    "markets.tags": [_ignored("markets", "include_tag"), _gone("markets", "tags")],
    "markets.lookup": [
        _ignored("markets", "condition_ids"),
        _rule("rows_lost", "markets", "condition_ids="),
    ],
    "markets.end": [_rule("cursor_opaque", "markets", "condition_ids=")],
    "markets.tokens": [_rule("wrong_rows", "markets")],
    "markets.slug": [_rule("wrong_rows", "market"), _rule("404", "market")],
    "events.members": [_gone("events", "markets")],
    "events.tags": [_gone("events", "tags")],
    "trades.newest": [_rule("empty", "trades")],
    "trades.envelope": [
        _gone("trades", "pagination"),
        _gone("trades", "has_more"),
        _gone("trades", "data"),
    ],
    "trades.fields": [_gone("trades", "transaction_hash"), _gone("trades", "condition_id", "size")],
    "trades.types": [_rule("field_text", "trades", fields=["size", "price"])],
    "trades.condition": [
        _ignored("trades", "condition"),
        _rule("wrong_rows", "trades", "condition="),
        _rule("empty", "trades", "condition="),
    ],
    "trades.several": [_rule("rows_lost", "trades", _SEVERAL), _rule("empty", "trades", _SEVERAL)],
    "trades.batch": [_rule("400", "trades", _SEVERAL)],
    "trades.both_sides": [
        _ignored("trades", "taker_only"),
        _ignored("trades", "taker_only", match="condition="),
    ],
    "trades.order": [_rule("rows_reversed", "trades")],
    "trades.cursor": _walked("trades"),
    "trades.bad_cursor": [_rule("accepted", "trades", "cursor=")],
    "trades.page_size": [_rule("clamped", "trades", limit=10)],
    "trades.largest_page": [_rule("clamped", "trades", "limit=1001", limit=1000)],
    "trades.unknown": [_rule("404", "trades", _UNKNOWN)],
    "trades.padded": [
        [*_rule("empty", "trades", "condition=0x01"), *_rule("empty", "trades", "condition=0x02")]
    ],
    "trades.micro_shares": [_rule("field_scaled", "trades", fields=["size"], factor=1 / 3)],
    "trades.one_second": [_rule("field_shifted", "trades", fields=["timestamp"])],
    "trades.tokens": [_rule("wrong_rows", "trades")],
    "activity.envelope": [_gone("activity", "pagination"), _gone("activity", "next_cursor")],
    "activity.fields": [_gone("activity", "type"), _gone("activity", "timestamp")],
    "activity.types": [_rule("field_text", "activity", fields=["size", "usdc_size"])],
    "activity.user": [_rule("wrong_rows", "activity"), _rule("empty", "activity")],
    "activity.order": [_ignored("activity", "sort_direction")],
    "activity.cursor": _walked("activity"),
    "activity.page_size": [_rule("clamped", "activity", limit=10)],
    "activity.window": [_ignored("activity", "start"), _ignored("activity", "end")],
    "activity.full_history": [_ignored("activity", "start")],
    "activity.transfers": [
        _ignored("activity", "exclude_deposits_withdrawals", match="limit=1000")
    ],
    "activity.same_fills": [
        _rule("field_scaled", "activity", fields=["size"], factor=2),
        _rule("rows_lost", "activity"),
    ],
    "activity.unknown": [_rule("404", "activity", _UNKNOWN)],
    "positions.envelope": [_gone("positions", "pagination"), _gone("positions", "has_more")],
    "positions.fields": [_gone("positions", "current_size"), _rule("400", "positions", "archived")],
    "positions.types": [_rule("field_text", "positions", fields=["current_size"])],
    "positions.user": [_rule("wrong_rows", "positions")],
    "positions.status": [_ignored("positions", "status")],
    "positions.order": [
        _ignored("positions", "sort_by", "sort_direction"),
        _rule("rows_reversed", "positions", "status=CLOSED"),
    ],
    "positions.cursor": _walked("positions"),
    "positions.bad_cursor": [_rule("accepted", "positions", "cursor=")],
    "positions.page_size": [_rule("clamped", "positions", limit=2)],
    "positions.dust": [_ignored("positions", "filter_amount")],
    "positions.since": [_ignored("positions", "start")],
    "positions.unknown": [_rule("404", "positions", _UNKNOWN)],
    "resolutions.fields": [_gone("resolutions", "status"), _gone("resolutions", "data")],
    "resolutions.condition": [_rule("wrong_rows", "resolutions"), _rule("empty", "resolutions")],
    "resolutions.several": [_rule("rows_lost", "resolutions", _SEVERAL)],
    "resolutions.payouts": [_rule("field_scaled", "resolutions", fields=["payouts"], factor=1e-6)],
    "resolutions.unknown": [_rule("404", "resolutions", _UNKNOWN)],
    "service.status": [
        _gone("status", "serving"),
        _rule("404", "status"),
    ],
    "service.user_volume": [_rule("field_scaled", "user-volume", fields=["trade_count"], factor=0)],
    "service.user_stats": [
        _gone("user-stats", "all_time_pnl"),
        _gone("user-stats", "proxy_wallet"),
    ],
    "service.live_volume": [_rule("404", "live-volume"), _gone("live-volume", "conditions")],
    "service.errors": [
        _rule("accepted", "trades", "cursor="),
        _rule("400", "trades", "cursor="),
    ],
    "service.limits": [
        _rule("headers", "trades", headers={"RateLimit-Limit": "50, 50;w=10"}),
        _rule("headers", "markets", headers={"X-RateLimit-Limit": "100"}),
    ],
    "service.ending": [
        _rule("headers", "events", headers={"Sunset": "Fri, 01 Jan 2027 00:00:00 GMT"})
    ],
    "service.cache": [_rule("headers", "trades", headers={"Age": "52"})],
    "service.clock": [
        _rule("headers", "trades", headers={"Date": "Fri, 01 May 2026 00:00:00 GMT"})
    ],
    "service.fields": [_rule("unknown_field", "positions")],
}
