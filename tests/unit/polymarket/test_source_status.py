"""The source's own lag, as it says it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from polybackfill import errors
from polybackfill.polymarket import endpoints, http, source_status


def answering(body: bytes) -> http.Get:
    async def get(_route: endpoints.Route, _asked: Sequence[tuple[str, str]]) -> http.Response:
        return http.Response(200, body, {}, 0.0, "http://x/v2/status")

    return get


@pytest.mark.parametrize(
    ("serving", "lag_s"),
    [
        ({"lag_seconds": 9, "mechanisms": [{"name": "activity_feed", "age_seconds": 2.5}]}, 2.5),
        ({"lag_seconds": 9, "mechanisms": [{"name": "pnl", "age_seconds": 1}]}, 9),
        ({"lag_seconds": 9, "mechanisms": None}, 9),
        ({"lag_seconds": -3}, None),
        ({}, None),
        (None, None),
    ],
)
async def test_what_is_not_named_is_not_made_up(serving: object, lag_s: float | None) -> None:
    body = json.dumps({"data": {"serving": serving}}).encode()
    assert await source_status.fetch_lag_s(answering(body)) == lag_s


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":{"serving":[]}}',
        b'{"data":{"serving":{"mechanisms":[{"name":"\xff"}]}}}',
        b'{"other":' + b"[" * 100_000,
    ],
)
async def test_what_is_no_status_is_asked_again(body: bytes) -> None:
    with pytest.raises(errors.Retry, match="no status"):
        await source_status.fetch_lag_s(answering(body))
