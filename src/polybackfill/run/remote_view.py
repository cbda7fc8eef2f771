"""A run's facts from another host: from its endpoint (`--listen`), or from `polybackfill ui`."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from polybackfill import errors
from polybackfill.reports import run_answers, run_state

_TIMEOUT_S = 10.0
_ENDED = frozenset({"finished", "stopped", "failed"})


class RemoteView:
    """Asks one URL. `token`: for one that names none behind `#token=`.

    Raises errors.Stop for a URL that is none.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise errors.Stop(f"--url {parts.hostname or ''}: give http://HOST:PORT")
        named = urllib.parse.parse_qs(parts.fragment).get("token", [token])[0]
        self._address = f"{parts.scheme}://{parts.netloc}/status.json"
        self._headers = {"Authorization": f"Bearer {named}"}
        # Neither a proxy nor another address gets to see the token.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def look(self) -> dict[str, Any]:
        """How the run stands, in the form of `run_view`. What cannot be read is said in it.

        Raises errors.Stop when the token is not the right one.
        """
        request = urllib.request.Request(self._address, headers=self._headers)  # noqa: S310 - http
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                document = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                raise errors.Stop(
                    "the token is not the right one: give it as --url http://HOST:PORT/#token=…, "
                    "or set BACKFILL_LISTEN_TOKEN"
                ) from error
            return _silent(f"it answers {error.code}")
        except (OSError, ValueError) as error:
            return _silent(f"nobody answers there: {getattr(error, 'reason', error)}")
        return document if "answers" in document else _view(document)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _silent(said: str) -> dict[str, Any]:
    return {"said": said, "answers": [], "picture": None}


def _view(picture: dict[str, Any]) -> dict[str, Any]:
    """What a run says of itself at its endpoint, in the same form."""
    has_begun = "parts" in picture
    is_running = picture["state"] not in _ENDED
    state = run_state.RunState(picture["state"], is_running, age_s=0.0)
    answers = run_answers.answer_all(picture if has_begun else None, state)
    return {
        "run": picture["run"],
        "said": picture["state"],
        "answers": [vars(answer) for answer in answers],
        "picture": picture if has_begun else None,
        "machine": picture.get("machine"),
    }
