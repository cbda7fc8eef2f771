"""Gamma's search over events, tags and profiles: whatever is similar, page by page."""

from __future__ import annotations

from polymarket_sandbox import catalog, gamma_query, responses, row_renderer, universe

MAX_PER_TYPE = 50
DEFAULT_PER_TYPE = 5


class Search:
    """Answers of one universe. Profiles only on demand; the address is searched, too."""

    def __init__(self, world: universe.Universe) -> None:
        self._world = world

    def answer(self, _argument: str, raw: str) -> responses.Reply:
        """GET /public-search. Raises ApiError (422) without `q`."""
        asked = gamma_query.Asked(raw)
        wanted = (asked.one("q") or "").strip().casefold()
        if not wanted:
            raise responses.gamma_refused("q is required")
        size = min(max(asked.count("limit_per_type", DEFAULT_PER_TYPE), 1), MAX_PER_TYPE)
        first = (max(asked.count("page", 1), 1) - 1) * size
        events = [one for one in self._world.lists.events if wanted in one.title.casefold()]
        people = []
        if asked.flag("search_profiles"):
            people = [one for one in self._world.profiles if wanted in _searched(one)]
        total = len(events) + len(people)
        return responses.as_json(
            {
                "events": [_event(one) for one in events[first : first + size]],
                "tags": [],
                "profiles": [_profile(one) for one in people[first : first + size]],
                "pagination": {
                    "hasMore": first + size < max(len(events), len(people)),
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
