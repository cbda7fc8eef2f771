"""What the API says a wallet traded, against what its feed delivers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests import harness

from polybackfill import clocks, errors, worker_progress
from polybackfill.polymarket import endpoints, http, official_figures, rate_limiter


async def volume(url: str, wallet: str, first: int, last: int) -> official_figures.Volume:
    clock = clocks.SystemClock()
    client = http.Client(
        base_urls={"data": f"{url}/data"},
        limits=rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock),
        clock=clock,
    )

    async def get(route: endpoints.Route, asked: Sequence[tuple[str, str]]) -> http.Response:
        return await client.get(route, asked, worker_progress.Progress(clock))

    try:
        return await official_figures.fetch_user_volume(get, wallet.removeprefix("0x"), first, last)
    finally:
        await client.close()


async def test_the_whole_history_of_a_wallet_is_counted(sandbox: harness.Sandbox) -> None:
    """Seed 001, validation: an independent count for any wallet, not for one constant."""
    wallet = sandbox.wallets[0]
    truth = sandbox.truth([wallet], [])["trades"]
    answer = await volume(sandbox.url, wallet, 0, 4_000_000_000)
    assert answer.trade_count >= truth["rows"]
    assert answer.volume > 0 < answer.volume_usdc


async def test_an_unknown_wallet_has_none(sandbox: harness.Sandbox) -> None:
    assert await volume(sandbox.url, "9" * 40, 0, 4_000_000_000) == official_figures.Volume()


@pytest.mark.parametrize("body", [b"[]", b'{"data":{"volume":"x"}}', b"{", b"{}"])
async def test_an_answer_that_is_no_volume_is_asked_again(body: bytes) -> None:
    async def get(_: endpoints.Route, __: Sequence[tuple[str, str]]) -> http.Response:
        return http.Response(200, body, {}, 0.0, "http://x/v2/user-volume")

    with pytest.raises(errors.Retry, match="no volume"):
        await official_figures.fetch_user_volume(get, "1" * 40, 0, 1)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"\xff":1}', b'{"other":' + b"[" * 100_000])
def test_what_is_no_volume_is_asked_again(body: bytes) -> None:
    with pytest.raises(errors.Retry, match="no volume"):
        official_figures.parse_user_volume(body, "http://x/v2/user-volume")
