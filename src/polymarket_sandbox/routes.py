"""Which path belongs to which API, budget and answer.

One port serves the three hosts under `/data`, `/gamma` and `/clob`; Data v2 answers at the root
as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from polymarket_sandbox import responses

Answer = Callable[[str, str], responses.Response]  # (path argument, raw query string)


@dataclass(frozen=True)
class Route:
    """One route. `host`: data, gamma or clob; `budgets`: every window a request counts on."""

    name: str
    host: str
    budgets: tuple[str, ...]
    answer: Answer


@dataclass(frozen=True)
class RouteMatch:
    """A route met by a path without its host prefix; `argument`: the path's variable part."""

    route: Route
    path: str
    argument: str


class Routes:
    """All routes: exact paths, and prefixes whose rest is an argument."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._prefixes: list[tuple[str, str, Route]] = []

    def add(self, path: str, route: Route) -> None:
        """Serve `path` of the route's host; a path that ends in / takes the rest as argument."""
        if path.endswith("/") and path != "/":
            self._prefixes.append((route.host, path, route))
        else:
            self._exact[route.host, path] = route

    def find(self, full_path: str) -> RouteMatch | None:
        """The route of a request path, None for an unknown one."""
        host, path = split_host(full_path)
        route = self._exact.get((host, path))
        if route is not None:
            return RouteMatch(route, path, "")
        for prefix_host, prefix, candidate in self._prefixes:
            if host == prefix_host and path.startswith(prefix):
                return RouteMatch(candidate, path, path[len(prefix) :])
        return None


def split_host(full_path: str) -> tuple[str, str]:
    """Host name and path within it."""
    for host in ("data", "gamma", "clob"):
        if full_path.startswith(f"/{host}/"):
            return host, full_path[len(host) + 1 :]
    return "data", full_path


def not_found(full_path: str) -> responses.Response:
    """404 in the words of the host."""
    if split_host(full_path)[0] == "data":
        return responses.v2_error(404, "not_found", "Not Found")
    return responses.as_json({"type": "not found error", "error": "not found"}, status=404)
