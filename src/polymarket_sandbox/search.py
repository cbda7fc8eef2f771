"""Gamma's search over events, tags and profiles: whatever is similar, page by page."""

from __future__ import annotations

from polymarket_sandbox import catalog, gamma_query, responses, row_renderer, universe

MAX_PER_TYPE = 50
DEFAULT_PER_TYPE = 5


class Search:
    """Answers of one universe. Profiles only on demand; the address is searched, too."""

    def __init__(self, world: universe.Universe) -> None:
        self._world = world

    def answer(self, _argument: str, raw: str) -> responses.Response:
        """GET /public-search. Raises ApiError (422) without `q`."""
        query = gamma_query.GammaQuery(raw)
        wanted = (query.one("q") or "").strip().casefold()
        if not wanted:
            raise responses.gamma_refused("q is required")
        size = min(max(query.count("limit_per_type", DEFAULT_PER_TYPE), 1), MAX_PER_TYPE)
        first = (max(query.count("page", 1), 1) - 1) * size
        events = [one for one in self._world.lists.events if wanted in one.title.casefold()]
        profiles = []
        if query.flag("search_profiles"):
            profiles = [one for one in self._world.profiles if wanted in _searched(one)]
        total = len(events) + len(profiles)
        return responses.as_json(
            {
                "events": [_event(one) for one in events[first : first + size]],
                "tags": [],
                "profiles": [_profile(one) for one in profiles[first : first + size]],
                "pagination": {
                    "hasMore": first + size < max(len(events), len(profiles)),
                    "totalResults": total,
                },
            }
        )


def _searched(profile: row_renderer.Profile) -> str:
    return f"{profile.name}\n{profile.pseudonym}\n{profile.wallet}".casefold()


def _event(event: catalog.Event) -> catalog.Json:
    return {"id": str(event.id), "slug": event.slug, "title": event.title, "closed": event.closed}


def _profile(profile: row_renderer.Profile) -> catalog.Json:
    return {
        "name": profile.name,
        "pseudonym": profile.pseudonym,
        "proxyWallet": profile.wallet,
        "bio": profile.bio,
        "profileImage": profile.profile_image,
        "displayUsernamePublic": True,
    }
