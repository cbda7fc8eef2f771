"""What a job fetches, in one form whoever says it."""

from __future__ import annotations

from polybackfill import settings
from polybackfill.run import job_entry, run_request


def test_the_same_parts_in_another_order_are_the_same_job() -> None:
    backfill = settings.BackfillSettings()
    one, other = (
        job_entry.define(run_request.RunRequest(parts=parts), backfill)
        for parts in (("wallets", "conditions"), ("conditions", "wallets"))
    )
    assert one == other
    assert one != job_entry.define(run_request.RunRequest(parts=("wallets",)), backfill)
