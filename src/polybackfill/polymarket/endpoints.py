"""The routes of the public APIs and what each of them may be asked.

Figures: docs.polymarket.com/api-reference/rate-limits as read in October and November 2026; per
IP address, sliding windows of 10 s. Past a figure the edge first delays, then refuses with 429.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from polybackfill import errors, guess

WINDOW_S = 10.0  # rate-limits page, 2026-10: every public figure counts over 10 s
# Rows of a page of the Data API. OpenAPI of v2, 2026-11: `limit` at most 1000, more is refused.
PAGE_ROWS = 1000


@dataclass(frozen=True)
class Budget:
    """At most `requests` in any window of `window_s` seconds, as the server counts them."""

    requests: int
    window_s: float = WINDOW_S


@dataclass(frozen=True)
class Route:
    """One address and the budgets it draws on, the narrow one first, the widest last.

    `leaf`: the one thing below `path` that is asked for, '' for `path` itself. Reads of different
    leaves are one route: they queue together and are known to answer together.
    """

    host: str
    path: str
    budgets: tuple[str, ...]
    leaf: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Unique among all routes: the path, with the host before it outside the Data API."""
        return self.path if self.host == "data" else self.host + self.path

    @property
    def address(self) -> str:
        """What follows the host's base URL."""
        return f"{self.path}/{self.leaf}" if self.leaf else self.path

    def at(self, leaf: str) -> Route:
        """The route to one thing below the path."""
        return replace(self, leaf=leaf)


# Not listed: "all hosts together 15,000", which the three widest figures cannot reach.
PUBLISHED: Mapping[str, Budget] = MappingProxyType(
    {
        "/v2/*": Budget(800),
        "/v2/trades": Budget(300),
        "/v2/activity": Budget(200),  # shared with /v2/activity/combos
        "/v2/positions": Budget(200),  # shared with /v2/positions/combos
        "/v2/status": Budget(100),
        # No figures of their own: the whole of /v2/* is open to them, each adapts by itself.
        "/v2/resolutions": Budget(800),
        "/v2/tokens": Budget(800),
        "/v2/user-volume": Budget(800),
        "/v2/live-volume": Budget(800),
        "/v2/user-stats": Budget(800),
        "/v2/user-pnl": Budget(800),
        "gamma/*": Budget(4000),
        # The keyset routes have no figures; they are taken to count as the listings they replace.
        "gamma/markets": Budget(300),
        "gamma/events": Budget(500),
        "gamma/listings": Budget(900),  # markets and events together
        "gamma/public-search": Budget(350),
        "clob/*": Budget(9000),
    }
)

TRADES = Route("data", "/v2/trades", ("/v2/trades", "/v2/*"))
ACTIVITY = Route("data", "/v2/activity", ("/v2/activity", "/v2/*"))
POSITIONS = Route("data", "/v2/positions", ("/v2/positions", "/v2/*"))
RESOLUTIONS = Route("data", "/v2/resolutions", ("/v2/resolutions", "/v2/*"))
TOKENS = Route("data", "/v2/tokens", ("/v2/tokens", "/v2/*"))
USER_VOLUME = Route("data", "/v2/user-volume", ("/v2/user-volume", "/v2/*"))
LIVE_VOLUME = Route("data", "/v2/live-volume", ("/v2/live-volume", "/v2/*"))
USER_STATS = Route("data", "/v2/user-stats", ("/v2/user-stats", "/v2/*"))
USER_PNL = Route("data", "/v2/user-pnl", ("/v2/user-pnl", "/v2/*"))
STATUS = Route("data", "/v2/status", ("/v2/status", "/v2/*"))
MARKETS = Route("gamma", "/markets/keyset", ("gamma/markets", "gamma/listings", "gamma/*"))
EVENTS = Route("gamma", "/events/keyset", ("gamma/events", "gamma/listings", "gamma/*"))
# Single reads have no figure either; they are taken to count as the list they read from.
MARKET_BY_SLUG = Route("gamma", "/markets/slug", MARKETS.budgets)
MARKET_BY_ID = Route("gamma", "/markets", MARKETS.budgets)
EVENT_BY_SLUG = Route("gamma", "/events/slug", EVENTS.budgets)
SEARCH = Route("gamma", "/public-search", ("gamma/public-search", "gamma/*"))
CLOB_MARKETS = Route("clob", "/markets", ("clob/*",))

ROUTES = (
    TRADES,
    ACTIVITY,
    POSITIONS,
    RESOLUTIONS,
    TOKENS,
    USER_VOLUME,
    LIVE_VOLUME,
    USER_STATS,
    USER_PNL,
    STATUS,
    MARKETS,
    EVENTS,
    MARKET_BY_SLUG,
    MARKET_BY_ID,
    EVENT_BY_SLUG,
    SEARCH,
    CLOB_MARKETS,
)


def budgets(
    overrides: Mapping[str, int] | None = None, *, own_server: bool = False
) -> dict[str, Budget]:
    """The published budgets with some of them changed; `overrides` are requests per 10 s.

    `own_server`: what is asked is a sandbox on this machine, whose figures may lie above the
    published ones. Raises `Stop` for a name nobody knows, a figure below 1, or one above the
    published of a server that is not ours.
    """
    chosen = dict(PUBLISHED)
    for name, requests in (overrides or {}).items():
        published = PUBLISHED.get(name)
        if published is None:
            known = ", ".join(sorted(PUBLISHED))
            hint = guess.near(name, PUBLISHED)
            raise errors.Stop(f"limit {name!r} is unknown; known limits: {known}{hint}")
        if requests < 1 or (requests > published.requests and not own_server):
            raise errors.Stop(
                f"limit {name} = {requests} per 10 s; it must lie between 1 and the published "
                f"{published.requests}"
            )
        chosen[name] = Budget(requests, published.window_s)
    return chosen
