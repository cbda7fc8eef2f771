"""The sliding windows are exact: delay, then refusal, and every arrival is counted."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from polymarket_sandbox import app, options, throttle

from .conftest import Open


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limiter(limits: dict[str, int | None], **asked: float) -> throttle.Throttle:
    chosen = {"max_delay_s": 8.0, "max_queued": 1_000, **asked}
    return throttle.Throttle(
        Hand(), limits, max_delay_s=chosen["max_delay_s"], max_queued=int(chosen["max_queued"])
    )


def fullest(moments: list[float]) -> int:
    """The most moments in any window of ten seconds, by looking at every one."""
    width = 10 - 1e-9  # a moment computed as another plus ten may be off by the last bit
    return max(sum(m - width < other <= m for other in moments) for m in moments)


def test_within_the_limit_nothing_is_delayed() -> None:
    limits = limiter({"trades": 30})
    verdicts = [limits.arrive(["trades"], place * 0.3334) for place in range(300)]
    assert all(verdict == throttle.Decision() for verdict in verdicts)
    budget = limits.budgets()["trades"]
    assert (budget.fullest, budget.violations, budget.requests) == (30, 0, 300)


def test_one_too_many_waits_until_the_oldest_leaves_the_window() -> None:
    limits = limiter({"trades": 3}, max_delay_s=20)
    for moment in (0.0, 1.0, 2.0):
        assert limits.arrive(["trades"], moment).delay_s == 0
    assert limits.arrive(["trades"], 4.0).delay_s == pytest.approx(6.0)
    assert limits.arrive(["trades"], 5.0).delay_s == pytest.approx(6.0)
    assert limits.budgets()["trades"].violations == 2
    assert limits.budgets()["trades"].delayed == 2


def test_past_the_longest_delay_it_is_refused_and_takes_no_room() -> None:
    limits = limiter({"trades": 2}, max_delay_s=5)
    limits.arrive(["trades"], 0.0)
    limits.arrive(["trades"], 0.0)
    refused = limits.arrive(["trades"], 1.0)
    assert refused.retry_after_s == pytest.approx(9.0)
    assert limits.arrive(["trades"], 6.0).delay_s == pytest.approx(4.0)
    assert limits.budgets()["trades"].refused == 1


def test_the_queue_is_bounded() -> None:
    limits = limiter({"trades": 1}, max_delay_s=1_000, max_queued=2)
    limits.queued = 2
    limits.arrive(["trades"], 0.0)
    assert limits.arrive(["trades"], 1.0).retry_after_s is not None


def test_what_is_served_never_exceeds_any_of_the_budgets() -> None:
    rng = random.Random(7)
    limits = limiter({"data": 20, "trades": 12, "activity": 10}, max_delay_s=30)
    served: dict[str, list[float]] = {"data": [], "trades": [], "activity": []}
    moment = 0.0
    for _ in range(600):
        moment += rng.expovariate(3.0)
        route = rng.choice(["trades", "activity"])
        verdict = limits.arrive(["data", route], moment)
        if verdict.retry_after_s is None:
            served["data"].append(moment + verdict.delay_s)
            served[route].append(moment + verdict.delay_s)
    assert fullest(served["data"]) <= 20
    assert fullest(served["trades"]) <= 12
    assert fullest(served["activity"]) <= 10
    assert len(served["data"]) > 300


def test_the_fullest_window_is_exact() -> None:
    rng = random.Random(11)
    limits = limiter({"clob": 50})
    moments, moment = [], 0.0
    for _ in range(500):
        moment += rng.expovariate(4.0)
        moments.append(moment)
        limits.arrive(["clob"], moment)
    assert limits.budgets()["clob"].fullest == fullest(moments)
    over = sum(
        sum(m - 10 < other <= m for other in moments[: p + 1]) > 50 for p, m in enumerate(moments)
    )
    assert limits.budgets()["clob"].violations == over


def test_each_address_has_windows_of_its_own() -> None:
    limits = limiter({"trades": 2}, max_delay_s=0)
    verdicts = {
        address: [limits.arrive(["trades"], 0.1 * place, address) for place in range(3)]
        for address in ("127.0.0.2", "127.0.0.3")
    }
    for of_address in verdicts.values():
        assert [one.retry_after_s is None for one in of_address] == [True, True, False]
    together = {"limit": 2, "requests": 6, "fullest_window": 3, "violations": 2, "delayed": 0}
    assert limits.report()["trades"] == {**together, "refused": 2}
    by_address = limits.report_by_address()
    alone = {**together, "requests": 3, "violations": 1, "refused": 1}
    assert by_address == {address: {"trades": alone} for address in verdicts}
    limits.change({"trades": 5})
    assert limits.arrive(["trades"], 1.0, "127.0.0.2").retry_after_s is None
    assert limits.arrive(["trades"], 1.0, "127.0.0.4").retry_after_s is None
    limits.reset()
    assert limits.report_by_address()["127.0.0.3"] == {}


@pytest.mark.parametrize(
    ("asked", "trades"), [("published", 300), ("off", None), ("0.5", 150), ("2", 600)]
)
def test_limits_by_name_or_factor(asked: str, trades: int | None) -> None:
    assert throttle.resolve(asked)["trades"] == trades


def test_limits_from_a_file_and_bad_ones(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"trades": 7, "clob": None}))
    app.build(options.SandboxOptions(limits=str(path)))
    path.write_text(json.dumps({"tradez": 7}))
    for wrong in (str(path), "quick", "-1"):
        with pytest.raises(options.OptionsError, match="limits"):
            app.build(options.SandboxOptions(limits=wrong))


async def test_over_http_delay_then_429_with_retry_after(open_sandbox: Open) -> None:
    visitor = await open_sandbox(limits="published", max_delay_s=0.0)
    await visitor.post("/_sandbox/limits", {"trades": 5})
    statuses = []
    for _ in range(7):
        status, answer, headers = await visitor.get("/data/v2/trades", limit=1)
        statuses.append(status)
    assert statuses == [200] * 5 + [429] * 2
    assert answer["code"] == "rate_limited"
    assert answer["retryable"] is True
    assert 1 <= int(headers["Retry-After"]) <= 10
    stats = await visitor.ok("/_sandbox/stats")
    budget = stats["budgets"]["trades"]
    assert budget["requests"] == budget["fullest_window"] == 7
    assert (budget["violations"], budget["refused"]) == (2, 2)
    assert stats["budgets"]["data"]["requests"] == 7
    assert stats["routes"]["trades"]["statuses"] == {"200": 5, "429": 2}
    await visitor.post("/_sandbox/limits", {"refusal": "html"})
    status, answer, headers = await visitor.get("/data/v2/trades", limit=1)
    assert status == 429
    assert "1015" in answer
    assert "Retry-After" not in headers
    await visitor.post("/_sandbox/stats/reset", {})
    assert (await visitor.ok("/_sandbox/stats"))["budgets"]["trades"]["requests"] == 0


async def test_a_delayed_request_is_answered_late(
    open_sandbox: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "WINDOW_S", 1.0)
    visitor = await open_sandbox(limits="published", max_delay_s=30.0)
    await visitor.post("/_sandbox/limits", {"tags": 2})
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(2):
        await visitor.ok("/gamma/tags", limit=1)
    slow = asyncio.create_task(visitor.ok("/gamma/tags", limit=1), name="delayed")
    await visitor.ok("/data/v2/status")
    assert not slow.done(), "other routes are not held up"
    await slow
    assert loop.time() - started >= 0.99


async def test_limits_can_be_halved_without_a_word(open_sandbox: Open) -> None:
    visitor = await open_sandbox(limits="published")
    changed = await visitor.post("/_sandbox/limits", {"factor": 0.5})
    assert (changed["trades"]["limit"], changed["activity"]["limit"]) == (150, 100)
    body = {"nonsense": 3}
    async with visitor.session.post(f"{visitor.running.url}/_sandbox/limits", json=body) as reply:
        assert reply.status == 400
        assert "nonsense" in (await reply.json())["error"]


async def test_latency_is_taken_and_measured(open_sandbox: Open) -> None:
    visitor = await open_sandbox(latency_ms=120)
    for _ in range(5):
        await visitor.ok("/data/v2/trades", limit=1)
    routes = (await visitor.ok("/_sandbox/stats"))["routes"]
    assert 100 <= routes["trades"]["p50_ms"] < 400
    assert routes["trades"]["bytes"] > 1_000
