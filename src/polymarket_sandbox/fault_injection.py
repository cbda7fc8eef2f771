"""Apply a fault to a response."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl, urlencode

import orjson

from polymarket_sandbox import clob, drift, faults, list_index, responses, routes

Row = dict[str, object]

# Fields that say whose row it is; a row that answers another question has others.
_IDENTIFYING = ("proxy_wallet", "condition_id", "conditionId", "slug", "id")

# Bodies of the edge and of the service by kind of fault.
_PAGES: Mapping[str, tuple[int, str, str]] = {
    "429_html": (429, "Too Many Requests", "error code: 1015"),
    "403_html": (403, "Attention Required! | Cloudflare", "you have been blocked"),
    "cursor_trips": (403, "Attention Required! | Cloudflare", "you have been blocked"),
    "502": (502, "Bad Gateway", "error code: 502"),
    "504": (504, "Gateway Timeout", "error code: 504"),
    "520": (520, "Web server is returning an unknown error", "error code: 520"),
}
_REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "429_json": (429, "rate_limited", "slow down"),
    "400": (400, "invalid_request", "this question cannot be answered"),
    "404": (404, "not_found", "Not Found"),
    "408": (408, "request_timeout", "request timeout"),
    "500": (500, "internal", "internal error"),
    "503": (503, "dependency_unavailable", "dependency unavailable"),
}


# Filters that name what is wanted; dropping them leaves a list of anything.
_NAMING = {
    *list_index.ID_FILTERS,
    *("condition", "condition_id", "conditionId", "event_id", "eventId", "type", "question_id"),
}


def change_query(rule: faults.Rule, route: routes.Route, raw_query: str) -> str:
    """The query that is answered instead: without some filters, or with a smaller page."""
    parameters = parse_qsl(raw_query, keep_blank_values=True)
    if rule.kind == "clamped" and route.name == "clob-markets":
        return urlencode([*parameters, (clob.CLAMPED, str(rule.limit))])
    if rule.kind == "clamped":
        sizes = [int(value) for name, value in parameters if name == "limit" and value.isdecimal()]
        limit = min([rule.limit, *sizes])
        kept = [(name, value) for name, value in parameters if name != "limit"]
        return urlencode([*kept, ("limit", str(limit))])
    ignored = rule.filters or _NAMING
    return urlencode([(name, value) for name, value in parameters if name not in ignored])


def replace_response(rule: faults.Rule, route: routes.Route) -> responses.Response:
    """The response sent in place of an answer, in the words of the host."""
    host = route.host
    if rule.kind == "empty":
        return drift.nothing(route)
    if rule.kind in _PAGES:
        return responses.html(*_PAGES[rule.kind])
    status, code, text = _REFUSALS[rule.kind]
    if status == 500 and host == "gamma":
        broken = {"type": "internal error", "error": "cannot get the information"}
        return responses.as_json(broken, status=500)
    headers = None
    if status in {429, 503}:
        headers = {"Retry-After": str(math.ceil(rule.retry_after_s))}
    return responses.v2_error(status, code, text, retryable=status != 400, headers=headers)


def cursor_refused() -> responses.Response:
    """What a cursor of an older release meets."""
    return responses.v2_error(400, "invalid_request", "invalid cursor", parameter="cursor")


def damage_body(rule: faults.Rule, honest: responses.Response) -> responses.Response:
    """A body that is no JSON, or stops in the middle with a matching Content-Length."""
    if rule.kind == "invalid_json":
        spoiled = honest.body.replace(b":", b"=", 3)
    else:
        spoiled = honest.body[: max(1, len(honest.body) * 2 // 3)]
    return responses.Response(spoiled, honest.status, honest.content_type, honest.headers)


def damage_list(rule: faults.Rule, honest: responses.Response, cursor: str) -> responses.Response:
    """A list whose rows or cursor are not what was asked for; `cursor`: the one that was sent."""
    answer = orjson.loads(honest.body)
    if rule.kind == "cursor_repeat":
        _repeat_cursor(answer, cursor)
    else:
        _spoil_rows(rule, rows_of(answer))
    return responses.Response(
        orjson.dumps(answer), honest.status, honest.content_type, honest.headers
    )


def _repeat_cursor(answer: dict[str, object], cursor: str) -> None:
    pagination = answer.get("pagination")
    if isinstance(pagination, dict):
        pagination.update(has_more=True, next_cursor=cursor)
    else:
        answer["next_cursor"] = cursor


def _spoil_rows(rule: faults.Rule, found: list[Row]) -> None:
    if rule.kind == "bad_row" and found:
        found.insert(len(found) // 2, _bad_row(found[0], rule.trigger.fired))
    elif rule.kind == "unknown_field":
        for row in found:
            row["sandbox_extra"] = {"since": "today"}
    elif rule.kind == "wrong_rows":
        for row in found:
            row.update({name: _other(row[name]) for name in _IDENTIFYING if row.get(name)})


def rows_of(answer: object) -> list[Row]:
    """The rows of any of the APIs' envelopes, or the one that was asked for by its id; an empty
    list when there is none."""
    held = answer
    if isinstance(answer, dict) and any(name in answer for name in _IDENTIFYING):
        held = [answer]
    elif isinstance(answer, dict):
        held = next((answer[key] for key in ("data", "markets", "events") if key in answer), None)
    is_list = isinstance(held, list) and all(isinstance(row, dict) for row in held)
    return cast(list[Row], held) if is_list else []


def _other(value: object) -> object:
    """An id of the same form that is somebody else's."""
    text = str(value)
    lead = 2 if text.startswith("0x") else 0
    return text[:lead] + text[lead:][::-1]


def _bad_row(good: Row, number: int) -> Row:
    """One more row, damaged in one of several ways; the good rows all stay."""
    bad = dict(good)
    damage = number % 4
    if damage == 0:
        bad["size" if "size" in bad else "id"] = "many"
    elif damage == 1:
        for name in ("transaction_hash", "conditionId", "condition_id"):
            bad.pop(name, None)
    elif damage == 2:
        bad["timestamp"] = "yesterday"
    else:
        bad["proxy_wallet"] = bad["token_id"] = {"not": "text"}
    return bad
