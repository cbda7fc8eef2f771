"""The limits hold at the server, are used, and follow the server when it changes its mind.

Scenarios run in virtual time: the event loop's clock jumps to the next timer, so minutes of
requests take a fraction of a second and nothing depends on the machine.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests import virtual_clock

from polybackfill import errors, worker_progress
from polybackfill.polymarket import budget_limiter, congestion, endpoints, rate_limiter

WINDOW_S = 10.0


def fullest(times: list[float], window_s: float) -> int:
    """Requests in the fullest sliding window (t - window_s, t]."""
    times = sorted(times)
    most = oldest = 0
    for newest, at in enumerate(times):
        while times[oldest] <= at - window_s:
            oldest += 1
        most = max(most, newest - oldest + 1)
    return most


class Server:
    """A sliding window that delays, then refuses; the limit may change at any time."""

    def __init__(self, limit: int, latency: Callable[[], float], *, longest_delay_s: float) -> None:
        self.limit = limit
        self.latency = latency
        self.longest_delay_s = longest_delay_s
        self.arrivals: list[float] = []
        self.served: list[float] = []
        self.refused: list[float] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.reachable = asyncio.Event()
        self.reachable.set()

    async def ask(self) -> int:
        await self.reachable.wait()
        now = asyncio.get_running_loop().time()
        self.arrivals.append(now)
        at = max([now, *self.served[-1:]])
        if len(self.served) >= self.limit:
            at = max(at, self.served[-self.limit] + WINDOW_S)
        if at - now > self.longest_delay_s:
            self.refused.append(now)
            await asyncio.sleep(0.1)
            return 429
        self.served.append(at)
        await asyncio.sleep(at - now + self.latency())
        await self.answering.wait()
        return 200

    def used(self, since: float, until: float, limit: int) -> float:
        """Part of `limit` per window that was served between the two times."""
        served = sum(1 for at in self.served if since < at <= until)
        return served / (limit * (until - since) / WINDOW_S)


class Scene:
    """Workers that ask one route of one server as fast as the limits let them."""

    def __init__(
        self,
        limit: int = 200,
        *,
        latency: Callable[[], float] = lambda: 0.6,
        longest_delay_s: float = 8.0,
        retry_after_s: float = 1.0,
        deadline_s: float = 60.0,
    ) -> None:
        self.deadline_s = deadline_s
        self.clock = virtual_clock.LoopClock()
        budgets = {"/v2/activity": endpoints.Budget(limit), "/v2/*": endpoints.Budget(800)}
        self.limits = rate_limiter.RateLimiter(budgets, clock=self.clock)
        self.server = Server(limit, latency, longest_delay_s=longest_delay_s)
        self.retry_after_s = retry_after_s
        self.most_allowed = 0.0
        self._underway: set[asyncio.Task[int]] = set()
        self.stats: dict[str, float | int | None] = {}

    def play(self, seconds: float, *acts: tuple[float, Callable[[], object]]) -> Server:
        """Run with the given acts at their times; the server remembers everything."""

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(64):
                    group.create_task(self._worker(seconds))
                group.create_task(self._director(acts))

        virtual_clock.run_virtual(main())
        return self.server

    async def _worker(self, until: float) -> None:
        mark = worker_progress.Progress(self.clock)
        while self.clock.monotonic() < until:
            turn = await self.limits.acquire(endpoints.ACTIVITY, mark)
            try:
                turn.sent()
                # As a socket does: what was sent arrives, whoever still waits for the answer.
                asking = self.underway(self.server.ask())
                async with asyncio.timeout(self.deadline_s):
                    status = await asyncio.shield(asking)
                turn.answered(status)
                if status == 429:
                    self.limits.pause("data", self.retry_after_s)
            except TimeoutError:
                turn.release(given_up=True)
            finally:
                turn.release()
            if self.clock.monotonic() < until:
                self.stats = self.limits.stats()["/v2/activity"]
                self.most_allowed = max(self.most_allowed, self.stats["allowed_per_s"] or 0.0)

    def underway(self, asking: Coroutine[Any, Any, int]) -> asyncio.Task[int]:
        task = asyncio.create_task(asking)
        self._underway.add(task)
        task.add_done_callback(self._underway.discard)
        return task

    async def _director(self, acts: tuple[tuple[float, Callable[[], object]], ...]) -> None:
        for at, act in acts:
            await asyncio.sleep(at - self.clock.monotonic())
            act()

    def set_limit(self, limit: int) -> Callable[[], object]:
        return lambda: setattr(self.server, "limit", limit)


# ── never over the limit ──────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("idle"), st.floats(0.0, 30.0)),
        st.tuples(st.just("ask"), st.integers(1, 60)),
        st.tuples(st.just("rate"), st.floats(0.05, 1.0)),
        st.tuples(st.just("stall"), st.floats(0.01, 1.5)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(1, 60), connect_s=st.floats(0.0, 0.5), steps=STEPS, seed=st.integers())
def test_no_window_ever_holds_more_than_the_limit(limit, connect_s, steps, seed):
    """Seed 001, supervisor: never above the configured rate in any window."""
    sent: list[float] = []
    rng = random.Random(seed)

    async def one(budget: budget_limiter.BudgetLimiter) -> None:
        await budget.acquire()
        await asyncio.sleep(rng.uniform(0.0, connect_s))
        budget.sent()
        now = asyncio.get_running_loop().time()
        sent.append(now)
        budget.settle(now)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_clock.VirtualLoop)
        budget = budget_limiter.BudgetLimiter(endpoints.Budget(limit), virtual_clock.LoopClock())
        async with asyncio.TaskGroup() as group:
            for step, size in steps:
                if step == "idle":
                    await asyncio.sleep(size)
                elif step == "stall":
                    loop.stall(size)
                elif step == "rate":
                    budget.rate = budget.full_rate * size
                else:
                    for _ in range(int(size)):
                        group.create_task(one(budget))

    virtual_clock.run_virtual(main())
    assert fullest(sent, WINDOW_S * 1.005) <= limit


@settings(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 300),
    lives=st.lists(st.tuples(st.integers(0, 200), st.floats(0.0, 3.0)), min_size=2, max_size=8),
)
def test_a_restarted_process_knows_nothing_and_still_stays_inside_the_window(limit, lives):
    sent: list[float] = []

    async def main() -> None:
        for requests, gap_s in lives:
            budget = budget_limiter.BudgetLimiter(
                endpoints.Budget(limit), virtual_clock.LoopClock()
            )
            for _ in range(requests):
                await budget.acquire()
                budget.sent()
                now = asyncio.get_running_loop().time()
                sent.append(now)
                budget.settle(now)
            await asyncio.sleep(gap_s)

    virtual_clock.run_virtual(main())
    assert fullest(sent, WINDOW_S) <= limit


def test_the_first_second_has_no_burst():
    server = Scene(200).play(3.0)
    assert sum(1 for at in server.arrivals if at <= 1.0) <= 20


@pytest.mark.parametrize("limit", [100, 200, 300, 800])
def test_a_stalling_machine_still_uses_97_percent_and_never_more_than_all(limit):
    scene = Scene(limit)
    rng = random.Random(limit)

    def stall() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_clock.VirtualLoop)
        loop.stall(rng.uniform(0.05, 0.15))

    stalls = [(at / 2, stall) for at in range(2, 140)]
    server = scene.play(70.0, *stalls)
    assert server.used(10.0, 70.0, limit) >= 0.97
    assert fullest(server.arrivals, WINDOW_S) <= limit
    assert server.refused == []


def _held(scene: Scene, every_s: float, held_s: float, until: float) -> list[Any]:
    """The way to the server stands still for `held_s`, again and again."""
    acts: list[tuple[float, Callable[[], object]]] = []
    at = every_s
    while at + held_s < until:
        acts += [(at, scene.server.reachable.clear), (at + held_s, scene.server.reachable.set)]
        at += every_s + held_s
    return acts


@pytest.mark.parametrize("limit", [30, 200, 300])
@pytest.mark.parametrize("held_s", [0.3, 0.8, 2.0, 5.0, 8.0, 12.0, 25.0])
def test_requests_that_are_held_on_the_way_and_arrive_together_fit_the_window(limit, held_s):
    rng = random.Random(limit)
    scene = Scene(limit, latency=lambda: 0.3 * rng.uniform(0.7, 1.5))
    server = scene.play(120.0, *_held(scene, 14.0, held_s, 118.0))
    assert fullest(server.arrivals, WINDOW_S) <= limit
    assert server.refused == []


@pytest.mark.parametrize("held_s", [9.0, 40.0, 300.0])
def test_requests_that_were_given_up_may_still_arrive(held_s):
    scene = Scene(200, latency=lambda: 0.3, deadline_s=6.0)
    acts = _held(scene, 20.0, held_s, held_s + 25.0)
    server = scene.play(held_s + 60.0, *acts)
    assert fullest(server.arrivals, WINDOW_S) <= 200
    assert server.used(held_s + 45.0, held_s + 55.0, 200) >= 0.9


def test_a_server_that_never_answers_is_asked_for_ever_but_not_often():
    scene = Scene(20, deadline_s=5.0)
    server = scene.play(2_000.0, (0.001, scene.server.answering.clear))
    arrivals = [at for at in server.arrivals if at > 1_000.0]
    assert 50 <= len(arrivals) <= 300


@settings(max_examples=40, deadline=None)
@given(
    holds=st.lists(st.tuples(st.floats(0.1, 12.0), st.floats(0.05, 9.0)), min_size=1, max_size=6),
    answers_late=st.floats(0.0, 3.0),
    limit=st.integers(5, 120),
    seed=st.integers(0, 99),
)
@example(holds=[(1.0, 1.0)], answers_late=1.0, limit=5, seed=0)  # answers much faster than any yet
def test_wherever_a_network_holds_a_request_no_window_is_over_full(
    holds, answers_late, limit, seed
):
    rng = random.Random(seed)
    scene = Scene(limit, latency=lambda: 0.2 + rng.random() * answers_late, deadline_s=7.0)
    acts: list[tuple[float, Callable[[], object]]] = []
    at = 5.0
    for free_s, held_s in holds:
        acts += [(at + free_s, scene.server.reachable.clear)]
        at += free_s + held_s
        acts += [(at, scene.server.reachable.set)]
    server = scene.play(at + 25.0, *acts)
    assert fullest(server.arrivals, WINDOW_S) <= limit


def test_a_steady_server_is_used_to_97_percent_however_long_it_takes():
    rng = random.Random(5)
    scene = Scene(200, latency=lambda: 0.6 * rng.uniform(0.8, 1.2))
    server = scene.play(120.0)
    assert server.used(20.0, 120.0, 200) >= 0.97


@pytest.mark.parametrize("requests", [0, -5])
def test_a_limit_that_allows_nothing_is_refused_by_name(requests):
    with pytest.raises(errors.Stop, match=r"/v2/trades"):
        rate_limiter.RateLimiter(
            {"/v2/trades": endpoints.Budget(requests)}, clock=virtual_clock.LoopClock()
        )


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_that_is_no_share_is_refused(share):
    with pytest.raises(errors.Stop, match="share"):
        rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=virtual_clock.LoopClock(), share=share)


def test_a_share_of_the_address_scales_every_budget():
    half = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=virtual_clock.LoopClock(), share=0.5)
    assert half.stats is not None

    async def limit_of(name: str) -> object:
        return half.stats()[name]["limit"]

    assert virtual_clock.run_virtual(limit_of("/v2/trades")) == 150


# ── the server changes its mind ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", [0.25, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_a_silently_lowered_limit_is_found_kept_and_left_again(part, spread):
    rng = random.Random(7)
    scene = Scene(200, latency=lambda: 0.6 + rng.uniform(0.0, spread))
    lowered = int(200 * part)
    server = scene.play(260.0, (60.0, scene.set_limit(lowered)), (150.0, scene.set_limit(200)))
    assert server.used(20.0, 60.0, 200) >= 0.97
    assert server.used(80.0, 90.0, lowered) >= 0.9  # within 30 s
    assert server.used(90.0, 150.0, lowered) >= 0.9  # and from then on
    assert len(server.refused) <= 5
    assert server.used(250.0, 260.0, 200) >= 0.97  # two minutes after it came back, at the latest
    assert fullest(server.arrivals, WINDOW_S) <= 200
    assert scene.most_allowed <= 200 / WINDOW_S


@pytest.mark.parametrize("longest_delay_s", [0.0, 2.0])
def test_a_server_that_refuses_instead_of_delaying_is_not_hammered(longest_delay_s):
    scene = Scene(200, longest_delay_s=longest_delay_s)
    server = scene.play(160.0, (60.0, scene.set_limit(100)))
    assert len(server.refused) <= 15
    assert server.used(100.0, 160.0, 100) >= 0.85


NOISE = {
    "jitter": lambda at, rng: rng.uniform(0.5, 1.0),
    "a few slow answers": lambda at, rng: rng.uniform(2, 6) if rng.random() < 0.05 else 0.6,
    "a second of double latency": lambda at, rng: 1.3 if at % 20 < 1 else 0.65,
    "a second of standstill": lambda at, rng: 0.6 + (1 - at % 20 if at % 20 < 1 else 0),
    "a long tail": lambda at, rng: rng.lognormvariate(-0.7, 0.7),
}


STEADY = ("jitter", "a few slow answers")


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_no_congestion(noise):
    rng = random.Random(5)
    scene = Scene(200, latency=lambda: NOISE[noise](asyncio.get_running_loop().time(), rng))
    server = scene.play(130.0)
    assert scene.stats["cuts"] == 0
    # What stands still for a second may let in a second's requests at once: that much is kept free.
    assert server.used(10.0, 130.0, 200) >= (0.965 if noise in STEADY else 0.93)


def test_answers_that_take_longer_for_good_become_the_usual():
    scene = Scene(200, latency=lambda: 0.2 if asyncio.get_running_loop().time() < 60 else 0.9)
    server = scene.play(120.0)
    assert server.used(80.0, 120.0, 200) >= 0.97
    assert scene.stats["usual_latency_s"] == pytest.approx(0.9, abs=0.05)


def test_a_server_that_stops_answering_is_not_sent_more():
    scene = Scene(200)
    scene.play(
        40.0,
        (20.0, scene.server.answering.clear),
        (30.0, scene.server.answering.set),
    )
    asked_into_the_silence = sum(1 for at in scene.server.arrivals if 20.0 < at < 30.0)
    assert asked_into_the_silence <= 200 / WINDOW_S * 0.6 * 1.5 + 6


def test_after_a_refusal_one_request_finds_out():
    scene = Scene(200, retry_after_s=0.0)
    refuse_all = (20.0, lambda: setattr(scene.server, "longest_delay_s", -1.0))
    refused = [at for at in scene.play(25.0, refuse_all).refused if at < 25.0]
    together = sum(1 for at in refused if at < refused[0] + 0.2)
    assert together <= 5  # those that had left before the first refusal was known
    assert len(refused) - together <= 5


def test_a_refusal_lowers_the_rate_and_bad_luck_that_repeats_does_not_starve_the_route():
    rng = random.Random(11)
    scene = Scene(200)
    asked = scene.server.ask

    async def ask_an_unlucky_server() -> int:
        return 429 if scene.clock.monotonic() > 20.0 and rng.random() < 0.01 else await asked()

    scene.server.ask = ask_an_unlucky_server  # type: ignore[method-assign]
    server = scene.play(320.0)
    assert (scene.stats["cuts"] or 0) >= 1
    assert server.used(20.0, 320.0, 200) >= 0.15


def test_a_route_that_was_refused_altogether_comes_back():
    scene = Scene(200)
    server = scene.play(
        300.0,
        (20.0, lambda: setattr(scene.server, "longest_delay_s", -1.0)),
        (80.0, lambda: setattr(scene.server, "longest_delay_s", 8.0)),
    )
    assert server.used(280.0, 300.0, 200) >= 0.97


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "200", "200", "200", "429", "403", "503", "gone"]),
        st.floats(0.0, 20.0),
    ),
    max_size=200,
)


@settings(max_examples=200, deadline=None)
@given(events=EVENTS, full_rate=st.floats(0.05, 1000.0))
def test_whatever_a_server_does_the_rate_stays_in_bounds_and_the_route_alive(events, full_rate):
    lane = congestion.AdaptiveLimiter(full_rate, WINDOW_S)
    waiting: list[int] = []
    now = 0.0
    for what, gap_s in events:
        now += gap_s / full_rate
        if what == "ask" and lane.has_slot(now):
            waiting.append(lane.start(now))
        elif waiting and what == "gone":
            lane.gone(waiting.pop(0), now)
        elif waiting and what != "ask":
            lane.answered(waiting.pop(0), now, int(what))
        assert 0 < lane.rate.allowed <= full_rate
        assert lane.in_flight == len(waiting)
    for number in waiting:
        lane.gone(number, now)
    assert lane.has_slot(now + WINDOW_S)


# ── order, pauses, endings ────────────────────────────────────────────────────────────────────


def _limits(clock: virtual_clock.LoopClock, **requests: int) -> rate_limiter.RateLimiter:
    budgets = {"/v2/" + name: endpoints.Budget(count) for name, count in requests.items()}
    return rate_limiter.RateLimiter({"/v2/*": endpoints.Budget(800), **budgets}, clock=clock)


def test_first_come_first_served():
    async def main() -> list[int]:
        clock = virtual_clock.LoopClock()
        shared = _limits(clock, activity=20)
        order: list[int] = []

        async def one(number: int) -> None:
            turn = await shared.acquire(endpoints.ACTIVITY, worker_progress.Progress(clock))
            order.append(number)
            turn.answered(200)
            turn.release()

        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(one(number))
        return order

    assert virtual_clock.run_virtual(main()) == list(range(50))


def test_routes_take_turns_at_the_budget_they_share():
    async def main() -> dict[str, int]:
        clock = virtual_clock.LoopClock()
        budgets = {"/v2/*": endpoints.Budget(100)}
        budgets |= {name: endpoints.Budget(300) for name in ("/v2/trades", "/v2/activity")}
        shared = rate_limiter.RateLimiter(budgets, clock=clock)
        served = {"/v2/trades": 0, "/v2/activity": 0}

        async def worker(route: endpoints.Route) -> None:
            while clock.monotonic() < 20.0:
                turn = await shared.acquire(route, worker_progress.Progress(clock))
                served[route.path] += 1
                turn.answered(200)
                turn.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(40):
                group.create_task(worker(endpoints.TRADES))
            for _ in range(4):
                group.create_task(worker(endpoints.ACTIVITY))
        return served

    served = virtual_clock.run_virtual(main())
    assert sum(served.values()) >= 190
    assert abs(served["/v2/trades"] - served["/v2/activity"]) <= 40


def test_a_route_without_a_figure_of_its_own_takes_what_the_others_leave():
    routes = (endpoints.TRADES, endpoints.ACTIVITY, endpoints.POSITIONS, endpoints.RESOLUTIONS)

    async def main() -> dict[str, list[float]]:
        clock = virtual_clock.LoopClock()
        shared = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock)
        sent: dict[str, list[float]] = {route.path: [] for route in routes}

        async def worker(route: endpoints.Route) -> None:
            while clock.monotonic() < 40.0:
                turn = await shared.acquire(route, worker_progress.Progress(clock))
                turn.sent()
                sent[route.path].append(clock.monotonic())
                await asyncio.sleep(0.6)
                turn.answered(200)
                turn.release()

        async with asyncio.TaskGroup() as group:
            for route in routes:
                for _ in range(64):
                    group.create_task(worker(route))
        return sent

    sent = virtual_clock.run_virtual(main())
    used = {
        path: sum(10.0 < at <= 40.0 for at in times) / 30.0 * WINDOW_S
        for path, times in sent.items()
    }
    assert used["/v2/trades"] >= 0.97 * 300
    assert used["/v2/activity"] >= 0.97 * 200
    assert used["/v2/positions"] >= 0.97 * 200
    assert sum(used.values()) >= 0.97 * 800  # resolutions: the rest
    assert fullest([at for times in sent.values() for at in times], WINDOW_S) <= 800


def test_who_is_patient_is_not_forgotten():
    """Others that take the whole of a shared budget leave a second of patience, not nothing."""

    async def main() -> int:
        clock = virtual_clock.LoopClock()
        budgets = {"/v2/*": endpoints.Budget(100), "/v2/resolutions": endpoints.Budget(100)}
        names = ("/v2/trades", "/v2/activity", "/v2/positions")
        budgets |= {name: endpoints.Budget(90) for name in names}
        shared = rate_limiter.RateLimiter(budgets, clock=clock)
        sent = 0

        async def worker(route: endpoints.Route) -> None:
            nonlocal sent
            while clock.monotonic() < 30.0:
                turn = await shared.acquire(route, worker_progress.Progress(clock))
                sent += route is endpoints.RESOLUTIONS
                turn.answered(200)
                turn.release()

        async with asyncio.TaskGroup() as group:
            busy = (endpoints.TRADES, endpoints.ACTIVITY, endpoints.POSITIONS)
            for route in (*busy, endpoints.RESOLUTIONS):
                for _ in range(8):
                    group.create_task(worker(route))
        return sent

    assert 15 <= virtual_clock.run_virtual(main()) <= 60


@settings(max_examples=60, deadline=None)
@given(
    waiters=st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 2), st.none() | st.floats(0, 3)), max_size=30
    )
)
def test_turns_are_handed_on_whoever_gives_up(waiters):
    """One at a time, nobody who waits is left behind, a cancelled wait passes the turn on."""

    async def main() -> tuple[int, int, int]:
        clock = virtual_clock.LoopClock()
        turns = budget_limiter.PriorityLock()
        held = most = served = 0

        async def one(at: float, patience: float, gives_up: float | None) -> None:
            nonlocal held, most, served
            await asyncio.sleep(at)

            async def hold() -> None:
                nonlocal held, most, served
                async with turns.hold(clock.monotonic() + patience):
                    held += 1
                    most = max(most, held)
                    try:
                        await asyncio.sleep(0.25)
                        served += 1
                    finally:
                        held -= 1

            if gives_up is None:
                await hold()
                return
            holding = asyncio.create_task(hold())
            await asyncio.wait({holding}, timeout=gives_up)
            holding.cancel()
            await asyncio.wait({holding})

        async with asyncio.TaskGroup() as group:
            for waiter in waiters:
                group.create_task(one(*waiter))
        return held, most, served

    held, most, served = virtual_clock.run_virtual(main())
    stay = sum(gives_up is None for _, _, gives_up in waiters)
    assert (held, most <= 1) == (0, True)
    assert stay <= served <= len(waiters)


def test_a_pause_stops_every_route_of_the_host_exactly_so_long_and_only_there():
    async def main() -> dict[str, list[float]]:
        clock = virtual_clock.LoopClock()
        shared = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=clock)
        asked: dict[str, list[float]] = {"data": [], "gamma": []}
        marks = []

        async def worker(route: endpoints.Route) -> None:
            mark = worker_progress.Progress(clock)
            marks.append(mark)
            while clock.monotonic() < 30.0:
                turn = await shared.acquire(route, mark)
                asked[route.host].append(clock.monotonic())
                await asyncio.sleep(0.5)
                turn.answered(200)
                turn.release()

        async def refuse() -> None:
            await asyncio.sleep(10.0)
            shared.pause("data", 7.0)
            shared.pause("data", 2.0)  # a shorter one changes nothing
            await asyncio.sleep(1.0)
            reasons = {mark.wait_reason for mark in marks}
            assert any(reason and reason.startswith("pause data") for reason in reasons)
            assert shared.pause_left_s("data") == pytest.approx(6.0, abs=0.01)

        async with asyncio.TaskGroup() as group:
            for route in (endpoints.TRADES, endpoints.ACTIVITY, endpoints.MARKETS):
                for _ in range(8):
                    group.create_task(worker(route))
            group.create_task(refuse())
        assert shared.pauses()["data"]["pauses"] == 1
        return asked

    asked = virtual_clock.run_virtual(main())
    assert [at for at in asked["data"] if 10.0 < at < 17.0] == []
    resumed = [at for at in asked["data"] if at >= 17.0]
    assert resumed[0] == pytest.approx(17.0, abs=0.2)
    assert sum(1 for at in resumed if at < 17.5) <= 30  # paced, not all at once
    assert len([at for at in asked["gamma"] if 10.0 < at < 17.0]) > 50


def test_a_pause_is_bounded():
    async def main() -> float:
        shared = rate_limiter.RateLimiter(endpoints.PUBLISHED, clock=virtual_clock.LoopClock())
        shared.pause("data", 86_400.0)
        return shared.pause_left_s("data")

    assert virtual_clock.run_virtual(main()) <= 600.0


def test_a_route_without_its_budgets_is_refused_by_name():
    async def main() -> None:
        clock = virtual_clock.LoopClock()
        shared = rate_limiter.RateLimiter({"/v2/*": endpoints.Budget(800)}, clock=clock)
        await shared.acquire(endpoints.TRADES, worker_progress.Progress(clock))

    with pytest.raises(errors.Stop, match="/v2/trades"):
        virtual_clock.run_virtual(main())


def test_waiting_for_the_limit_is_declared():
    async def main() -> tuple[str | None, float]:
        clock = virtual_clock.LoopClock()
        shared = _limits(clock, activity=1)
        mark = worker_progress.Progress(clock)
        first = await shared.acquire(endpoints.ACTIVITY, mark)
        first.answered(200)
        first.release()
        waiting = asyncio.create_task(shared.acquire(endpoints.ACTIVITY, mark))
        await asyncio.sleep(5.0)
        reason, idle_s = mark.wait_reason, mark.idle_s()
        (await waiting).release()
        return reason, idle_s

    assert virtual_clock.run_virtual(main()) == ("limit", 0.0)


def test_a_cancelled_wait_leaves_nothing_behind():
    async def main() -> tuple[int, float]:
        clock = virtual_clock.LoopClock()
        shared = _limits(clock, activity=5)
        mark = worker_progress.Progress(clock)
        crowd = [asyncio.create_task(shared.acquire(endpoints.ACTIVITY, mark)) for _ in range(20)]
        await asyncio.sleep(5.0)
        for task in crowd:
            task.cancel()
        granted = [turn for turn in await asyncio.gather(*crowd, return_exceptions=True)]
        for turn in granted:
            if isinstance(turn, rate_limiter.Permit):
                turn.answered(200)
                turn.release()
        await asyncio.sleep(60.0)
        asked_at = clock.monotonic()
        (await shared.acquire(endpoints.ACTIVITY, mark)).release()
        in_flight = shared.stats()["/v2/activity"]["in_flight"]
        assert isinstance(in_flight, int)
        return in_flight, clock.monotonic() - asked_at

    assert virtual_clock.run_virtual(main()) == (0, pytest.approx(0.0, abs=0.01))


def test_stats_tell_what_is_allowed_and_what_was_used():
    scene = Scene(200)
    scene.play(30.0)
    stats = scene.stats
    assert stats["limit"] == 200
    assert stats["allowed_per_s"] == pytest.approx(19.6, abs=0.02)
    assert stats["rate_per_s"] == pytest.approx(19.6, abs=0.3)
    assert stats["utilisation"] == pytest.approx(0.98, abs=0.015)
    assert stats["usual_latency_s"] == pytest.approx(0.6, abs=0.01)
    assert 580 <= (stats["sent"] or 0) <= 600
