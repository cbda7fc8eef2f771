"""The settings of a sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# 2026-11-21T00:00:00Z. A fixed "now" keeps the truth of one seed equal on every day and machine.
DEFAULT_NOW = 1_795_219_200
_FIRST_NOW, _LAST_NOW = 1_600_000_000, 4_000_000_000  # September 2020, and before DateTime ends

# 0.77 s per 1000-row page was measured by a third party in autumn 2026, 0.5-0.8 s by others.
DEFAULT_DATA_LATENCY_MS = 600.0

MIN_MARKETS = 40
MIN_WALLETS = 40
MIN_EVENTS = 25  # the special markets fill most of these
EVENTLESS = 5


class OptionsError(ValueError):
    """An option makes no sense; the message names it and the remedy."""


@dataclass(frozen=True, kw_only=True)
class SandboxOptions:
    """All settings of one sandbox.

    `markets`, `wallets`, `trades`: size of the universe; `trades` counts listed trade rows of both
    sides, the rows made on purpose included (about 6,000 of them are always there). `events`: in
    about how many events the markets are grouped, None for mostly one market an event.
    `money_cases` adds markets and wallets, each made for one case of profit.
    `latency_ms`: milliseconds a data page takes, None for the realistic default; the other routes
    take a share of it. `limits`: "published", "off", a factor, or the path of a JSON file with
    requests per 10 s by budget name. `faults`: a JSON list of fault rules. `replay`: a folder of
    recorded responses served instead of the generated universe. `cache`: the edge cache of
    `/v2/trades` page 1. `now`: epoch seconds at start, None for a fixed day. `late_rows` rows
    become visible `late_after_s` seconds after the start, or of a universe that grows after they
    happened. `grow_s`: so many seconds trades, markets and resolutions are added, from the
    start on, or from a POST to `/_sandbox/grow` (`grow_on_request`). Raises OptionsError.
    """

    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 1
    markets: int = 200
    wallets: int = 300
    trades: int = 20_000
    events: int | None = None
    latency_ms: float | None = None
    limits: str | float = "published"
    faults: str | Path | None = None
    replay: str | Path | None = None
    cache: bool = False
    now: int | None = None
    type_csv: Literal["honoured", "ignored"] = "honoured"
    money_cases: bool = False
    late_rows: int = 0
    late_after_s: float = 20.0
    grow_s: float = 0.0
    grow_on_request: bool = False
    max_delay_s: float = 8.0
    max_queued: int = 2_000
    refusal: Literal["json", "html"] = "json"
    gamma_offset_cap: int = 2_000

    def __post_init__(self) -> None:
        for name in ("trades", "late_rows", "late_after_s", "grow_s", "max_delay_s", "max_queued"):
            if getattr(self, name) < 0:
                raise OptionsError(f"{name} must not be negative")
        if self.replay is not None and self.grow_s:
            raise OptionsError("grow_s: what was recorded does not grow; leave out the replay")
        if self.latency_ms is not None and self.latency_ms < 0:
            raise OptionsError("latency_ms must not be negative; 0 answers at once")
        if self.markets < MIN_MARKETS:
            raise OptionsError(
                f"markets must be at least {MIN_MARKETS}: the special ones need room"
            )
        if self.wallets < MIN_WALLETS:
            raise OptionsError(
                f"wallets must be at least {MIN_WALLETS}: the special ones need room"
            )
        if self.events is not None and not MIN_EVENTS <= self.events <= self.markets - EVENTLESS:
            raise OptionsError(
                f"events must be {MIN_EVENTS} to {self.markets - EVENTLESS}, the number of markets "
                "less those without an event"
            )
        if self.now is not None and not _FIRST_NOW <= self.now <= _LAST_NOW:
            raise OptionsError(
                f"now must be epoch seconds (not milliseconds), {_FIRST_NOW} to {_LAST_NOW}"
            )
        if not 0 <= self.port <= 65_535:
            raise OptionsError("port must be 0 (any free one) to 65535")

    @property
    def started_at(self) -> int:
        """The universe's present at start, epoch seconds."""
        return DEFAULT_NOW if self.now is None else self.now
