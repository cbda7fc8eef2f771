"""How far the sandbox's feeds lie behind."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests import harness

from polybackfill import errors
from polybackfill.polymarket import endpoints, http, pagination, source_status


async def test_the_age_of_the_activity_feed(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    async def get(route: endpoints.Route, asked: Sequence[tuple[str, str]]) -> http.Response:
        answer = await fetch(pagination.FeedQuery(route, tuple(asked)), None)
        assert isinstance(answer, http.Response)
        return answer

    assert await source_status.fetch_lag_s(get) == 4.0
    sandbox.faults({"kind": "503", "route": "status", "count": 1})
    with pytest.raises(errors.Retry):
        await source_status.fetch_lag_s(get)
