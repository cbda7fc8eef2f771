"""What the API counts itself: volumes of events, and the curve of a wallet's profit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polybackfill import errors
from polybackfill.polymarket import official_figures

CONDITION = "8dbd8c6f5c2a38063c0c63e05f34470116231d73897c24b7460ac7f36eb624fb"
SHORT = "01" + "ab" * 30
URL = "http://x"


def body(data: object) -> bytes:
    return json.dumps({"data": data}).encode()


def volumes(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"taker_volume_total": 1.0, "conditions": list(rows)}


def test_volumes_by_condition_in_one_group_or_several() -> None:
    first = {"condition_id": f"0x{CONDITION}", "taker_volume": 12.345678}
    second = {"condition_id": f"0x{SHORT}", "taker_volume": "7"}
    wanted = {CONDITION: 12.345678, f"{SHORT}00": 7.0}
    assert official_figures.parse_event_volumes(body(volumes(first, second)), URL) == wanted
    assert (
        official_figures.parse_event_volumes(body([volumes(first), volumes(second)]), URL) == wanted
    )
    odd = {"condition_id": "0x12", "taker_volume": 1}
    empty = {"condition_id": f"0x{CONDITION}", "taker_volume": None}
    assert official_figures.parse_event_volumes(body(volumes(odd, empty)), URL) == {}
    assert official_figures.parse_event_volumes(body(None), URL) == {}


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'"x"'])
def test_what_is_no_volume_is_no_answer(content: bytes) -> None:
    with pytest.raises(errors.Retry, match="no volumes"):
        official_figures.parse_event_volumes(content, URL)


def test_a_curve_is_read_oldest_first_and_what_is_not_told_stays_unknown() -> None:
    rows = [
        {"timestamp": 1_790_086_400, "economic_pnl": "-3.5", "settled_pnl": None},
        {"timestamp": 1_790_000_000, "economic_pnl": 2},
        {"timestamp": 0, "economic_pnl": 9},
    ]
    points = official_figures.parse_profit_curve(body({"interval": "max", "points": rows}), URL)
    assert [point.timestamp for point in points] == [1_790_000_000, 1_790_086_400]
    assert [point.figures["economic_pnl"] for point in points] == [2.0, -3.5]
    assert points[1].figures["settled_pnl"] is None
    assert official_figures.parse_profit_curve(body(None), URL) == []
    assert official_figures.parse_profit_curve(body({"points": None}), URL) == []
    for content in (b"<html>", b"[]", b'{"data": []}'):
        with pytest.raises(errors.Retry, match="no curve"):
            official_figures.parse_profit_curve(content, URL)
