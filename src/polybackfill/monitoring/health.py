"""Whether a run is well, in four answers that a service manager or a load balancer can read."""

from __future__ import annotations

from dataclasses import dataclass

from polybackfill.monitoring import run_facts

_READY = frozenset({"running", "finishing"})
_MARGIN_S = 30.0  # the worker pool replaces a stalled worker first


@dataclass(frozen=True)
class Health:
    """`ready`: it fetches or makes its reports; `live`: neither stalled nor crashed.

    `stalled`: nothing moves and no wait is declared; `crashed`: it ends by an error.
    """

    state: str
    ready: bool
    stalled: bool
    crashed: bool

    @property
    def live(self) -> bool:
        """It gets somewhere, waits for something, starts or ends in order."""
        return not (self.stalled or self.crashed)

    def describe(self) -> dict[str, str | bool]:
        """What `/health` shows to everybody: nothing about the work itself."""
        return {
            "state": self.state,
            "ready": self.ready,
            "live": self.live,
            "stalled": self.stalled,
            "crashed": self.crashed,
        }


def judge_health(facts: run_facts.RunFacts | None, *, stall_s: float) -> Health:
    """By the newest facts, None before the first. `stall_s`: when a worker counts as stalled."""
    if facts is None:
        return Health("starting", ready=False, stalled=False, crashed=False)
    stalled = (
        facts.state == "running"
        and facts.waiting_for is None
        and facts.still_s >= stall_s + _MARGIN_S
    )
    ready = facts.state in _READY and not stalled
    return Health(facts.state, ready=ready, stalled=stalled, crashed=facts.state == "failed")
