"""Whatever leaves a run has ended it, and somebody is told."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.run import conftest
from tests.system import receiver as receivers

from polybackfill import errors, redaction
from polybackfill.run import run_monitor, run_request

ENDS = (
    (errors.Stop("the store refuses: look at it"), "failed: the store refuses"),
    (ValueError("a fault"), "crashed: ValueError"),
    (ExceptionGroup("several", [KeyError("a fault")]), "crashed: ExceptionGroup"),
    (MemoryError(), "crashed: MemoryError"),
    (asyncio.CancelledError(), "crashed: CancelledError"),
    (SystemExit(1), "crashed: SystemExit"),
)


@pytest.mark.parametrize(("error", "title"), ENDS)
async def test_an_error_that_escapes_a_run_alerts(
    error: BaseException, title: str, new_settings: conftest.NewSettings
) -> None:
    with receivers.receiving() as receiver:
        chosen = new_settings(alert_url=redaction.Url(receiver.url))
        with pytest.raises(type(error)):
            async with run_monitor.open_monitor(chosen, run_request.RunRequest(), asyncio.Event()):
                raise error
        (alert,) = receiver.alerts
    assert (alert["kind"], alert["severity"]) == ("end", "critical")
    assert alert["title"].endswith(f": {title}")
