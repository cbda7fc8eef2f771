"""How long parts that work side by side still take, and how much of the whole is behind them.

Each part has a rate of its own, and draws on budgets that others draw on too. The slowest of all
these decides; to add up the requests of all parts and to divide by the rate of all would tell of a
run that works at one thing after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One part. `done`, `left`: requests; `rate_per_s`: what it may or can send by itself.

    `chain_s`: seconds the longest unit under way takes, whose pages come one after another.
    `is_known`: what is left is more than the least that it can be. `is_behind`: it begins when
    others have ended; the last of all is near enough.
    """

    done: float
    left: float
    rate_per_s: float
    budgets: tuple[str, ...]
    chain_s: float = 0.0
    is_known: bool = True
    is_behind: bool = False

    @property
    def all(self) -> float:
        """Requests of the whole part."""
        return self.done + self.left

    @property
    def left_s(self) -> float:
        """Seconds it takes when nobody else draws on its budgets."""
        return max(_seconds(self.left, self.rate_per_s), self.chain_s)


def seconds(loads: Sequence[Load], allowed: Mapping[str, float]) -> float:
    """Until the last part ends. `allowed`: requests/s of each budget."""
    behind = [load for load in loads if load.is_behind]
    beside = [load for load in loads if not load.is_behind]
    return _side_by_side(beside, allowed) + _side_by_side(behind, allowed)


def _side_by_side(loads: Sequence[Load], allowed: Mapping[str, float]) -> float:
    requests: dict[str, float] = {}
    for load in loads:
        for name in load.budgets:
            requests[name] = requests.get(name, 0.0) + load.left
    by_budget = [_seconds(count, allowed[name]) for name, count in requests.items()]
    return max([0.0, *(load.left_s for load in loads), *by_budget])


def share(loads: Sequence[Load], tail_s: float) -> float:
    """What is done of the whole: of each part by the time that it takes, so that all parts count;
    `tail_s`: what comes after the last request.
    """
    left_s = sum(_seconds(load.left, load.rate_per_s) for load in loads) + tail_s
    whole_s = sum(_seconds(load.all, load.rate_per_s) for load in loads) + tail_s
    return 1.0 - left_s / whole_s if whole_s else 1.0


def _seconds(requests: float, rate_per_s: float) -> float:
    return requests / rate_per_s if requests else 0.0
