"""What the sandbox says that a wallet earned."""

from __future__ import annotations

import pytest
from tests import harness
from tests.unit.kinds.test_user_stats import found, read

from polybackfill import records
from polybackfill.polymarket import pagination


async def test_every_figure_as_the_source_has_it(
    sandbox: harness.Sandbox, fetch: pagination.Fetch
) -> None:
    wallet = sandbox.wallets[0]
    page = await read(fetch, wallet.removeprefix("0x"))
    assert not page.rows_of(records.Rejected)
    assert not page.unknown_fields
    row = found(page)
    assert (row.answer, row.wallet_address) == ("figures", wallet.removeprefix("0x"))
    assert row.economic_pnl is not None
    assert row.trade_pnl is not None
    assert row.wallet_income is not None
    assert row.fees is not None
    parts = row.trade_pnl + row.wallet_income - row.fees
    assert row.economic_pnl == pytest.approx(parts, abs=1e-5)
    assert row.settled_pnl is None
    sandbox.ask("stats/reset", {})
    again = await read(fetch, wallet.removeprefix("0x"), page.resume)
    assert again.rows == ()
    assert sandbox.requests() == 0
