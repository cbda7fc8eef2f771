"""A run's facts from another host: from its endpoint (`--listen`), or from `polybackfill ui`."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from polybackfill import errors
from polybackfill.monitoring import run_facts
from polybackfill.reports import run_answers, run_state

MOST_BYTES = 8_000_000  # a picture takes some ten thousand
_TIMEOUT_S = 10.0
_NOT_SEEN = "whether the run has ended or cannot be reached is not known from here"
_NO_RUN = "what answers there is no run of polybackfill"
_ENDED = frozenset({"finished", "stopped", "failed"})


class RemoteView:
    """Asks one URL. `token`: for one that names none behind `#token=`.

    Raises errors.Stop for a URL that is none, and a token that no header can carry.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = _split(url if "://" in url else f"http://{url}")
        named = urllib.parse.parse_qs(parts.fragment).get("token", [token])[0]
        if not (named.isascii() and named.isprintable()):
            raise errors.Stop("the token must be of printable ASCII characters")
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
                body = response.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                raise errors.Stop(
                    "the token is not the right one: give it as --url http://HOST:PORT/#token=…, "
                    "or set BACKFILL_LISTEN_TOKEN"
                ) from error
            return _silent(f"it answers {error.code}")
        except OSError as error:
            reason = getattr(error, "reason", error)
            return _silent(f"nobody answers there: {reason}; {_NOT_SEEN}")
        except (http.client.HTTPException, ValueError):  # not HTTP, or cut off
            return _silent(_NO_RUN)
        return _read(body)


def _split(url: str) -> urllib.parse.SplitResult:
    """Raises errors.Stop, which repeats no part of the URL but its host: it may hold a token."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise errors.Stop("--url is not a valid address: give http://HOST:PORT") from None
    is_plain = host.isprintable() and " " not in host and "@" not in parts.netloc
    if parts.scheme not in {"http", "https"} or not host or not is_plain:
        raise errors.Stop(f"--url {host if is_plain else ''}: give http://HOST:PORT")
    return parts


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _silent(said: str) -> dict[str, Any]:
    return {"said": said, "answers": [], "picture": None}


def _read(body: bytes) -> dict[str, Any]:
    """What a run or a page says of itself; anything else is said to be none."""
    if len(body) > MOST_BYTES:
        return _silent(_NO_RUN)
    try:
        document = json.loads(body)
        view: dict[str, Any] = document if "answers" in document else _view(document)
        msgspec.convert(view, _View)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _silent(_NO_RUN)
    return view


class _View(msgspec.Struct):
    """What of a document is shown, as far as its form can be wrong."""

    said: str
    answers: list[run_answers.Answer]
    picture: run_facts.RunFacts | None
    run: str = ""
    machine: run_facts.MachineFacts | None = None


def _view(picture: dict[str, Any]) -> dict[str, Any]:
    """What a run says of itself at its endpoint, in the same form."""
    has_begun = "parts" in picture
    is_running = picture["state"] not in _ENDED
    state = run_state.RunState(picture["state"], is_running, age_s=0.0)
    answers = run_answers.answer_all(picture if has_begun else None, state)
    return {
        "run": picture["run"],
        "said": _say(picture) if has_begun else picture["state"],
        "is_running": is_running,
        "answers": [vars(answer) for answer in answers],
        "picture": picture if has_begun else None,
        "machine": picture.get("machine"),
    }


def _say(picture: dict[str, Any]) -> str:
    """The state, and what the endpoint does not tell."""
    untold = [
        name
        for field, name in (("paused", "paused parts"), ("machine", "memory and disks"))
        if picture.get(field) is None
    ]
    state = str(picture["state"])
    return f"{state}; not known from here: {', '.join(untold)}" if untold else state
