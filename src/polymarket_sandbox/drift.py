"""An API that has changed: answers that are whole, and no longer what they were."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from polymarket_sandbox import clob, faults, responses, routes

Row = dict[str, object]
_OPAQUE = "bm90LWFuLW9mZnNldA=="
_LISTS = ("data", "markets", "events")


def nothing(route: routes.Route) -> responses.Response:
    """An answer without rows that says that this was all."""
    if route.host == "gamma":
        return responses.as_json({route.name: []} if route.name in _LISTS else {})
    if route.host == "clob":
        listed = {"limit": clob.PAGE, "count": 0, "next_cursor": clob.END_CURSOR, "data": []}
        return responses.as_json(listed if route.name == "clob-markets" else {})
    pagination = {"limit": 100, "offset": 0, "has_more": False, "next_cursor": None}
    return responses.as_json({"data": [], "pagination": pagination})


def drifted(
    rule: faults.Rule, route: routes.Route, honest: responses.Response
) -> responses.Response:
    """What the API answers since it changed in the way of the rule."""
    if rule.kind == "headers":
        headers = {**honest.headers, **rule.headers}
        return responses.Response(honest.body, honest.status, honest.content_type, headers)
    if rule.kind == "accepted":
        return nothing(route) if honest.status >= 400 else honest
    if honest.status != 200:
        return honest
    answer = orjson.loads(honest.body)
    if rule.kind.startswith("rows_"):
        _change_rows(rule, answer)
    elif rule.kind.startswith("cursor_"):
        _change_cursor(rule, answer)
    else:
        _change_fields(rule, answer)
    return responses.Response(
        orjson.dumps(answer), honest.status, honest.content_type, honest.headers
    )


def _change_rows(rule: faults.Rule, answer: Row) -> None:
    for name in _LISTS:
        rows = answer.get(name)
        if not isinstance(rows, list) or not rows:
            continue
        if rule.kind == "rows_lost":
            rows.pop(0)
        elif rule.kind == "rows_repeated":
            rows.append(rows[-1])
        else:
            rows.reverse()


def _change_cursor(rule: faults.Rule, answer: Row) -> None:
    pagination = answer.get("pagination")
    if rule.kind == "cursor_opaque":
        answer["next_cursor"] = _OPAQUE
    elif isinstance(pagination, dict):
        pagination.update(has_more=False, next_cursor=None)
    else:
        answer.pop("next_cursor", None)


def _change_fields(rule: faults.Rule, answer: Row) -> None:
    for place, held in enumerate(_objects(answer)):
        for name in rule.fields:
            if name not in held:
                continue
            if rule.kind == "field_gone":
                del held[name]
            else:
                held[name] = _changed(rule, held[name], place)


def _objects(answer: Row) -> Iterator[Row]:
    """The answer itself, what it holds, and its rows; those first, so that places count rows."""
    rows = [row for name in _LISTS for row in _listed(answer.get(name)) if isinstance(row, dict)]
    yield from rows
    yield from [held for held in answer.values() if isinstance(held, dict)]
    yield answer


def _listed(held: object) -> list[object]:
    return held if isinstance(held, list) else []


def _changed(rule: faults.Rule, value: object, place: int) -> object:
    if isinstance(value, list):
        return [_changed(rule, item, place) for item in value]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    if rule.kind == "field_text":
        return str(value)
    changed = value * rule.factor if rule.kind == "field_scaled" else value - place
    return round(changed) if isinstance(value, int) else changed
