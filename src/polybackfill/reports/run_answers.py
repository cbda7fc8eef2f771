"""The five questions of who looks at a run: when is it done, what is missing, is it at the limit,
is anything wrong, and what to do about it. The page and the terminal answer them alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polybackfill import formats, terminal
from polybackfill.reports import progress_line, run_state

GOOD, WATCH, BAD = "good", "watch", "bad"
_AT_LIMIT, _NEAR_LIMIT = 0.9, 0.5  # of what is allowed at present
_LAG_S = 600.0
_BEHIND_S = 60.0  # a run that follows is some seconds behind, as the API is
_LIMIT, _REST = "limit", "pace"  # what a worker declares that waits for its turn, or rests
_PROGRESS = ("polybackfill check progress",)
_STANDSTILL_S = 20.0  # a request may take as long


@dataclass(frozen=True)
class Answer:
    """`tone`: good, watch or bad; `commands`: what a person can type about it."""

    question: str
    text: str
    tone: str = GOOD
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Trouble:
    """Something that is wrong, and the command that helps, "" where time alone does."""

    text: str
    tone: str
    command: str = ""


def answer_all(picture: dict[str, Any] | None, state: run_state.RunState) -> list[Answer]:
    """The answers by a run's newest picture (None: there is none) and how it stands."""
    if picture is None or state.name == "starting":
        return [_not_begun(state)]
    troubles = list(_find_troubles(picture, state))
    return [
        _when(picture, state),
        _missing(picture, state),
        _limit(picture, state),
        _wrong(troubles),
        _to_do(troubles, picture, state),
    ]


def _not_begun(state: run_state.RunState) -> Answer:
    if state.name == "starting":
        return Answer("When is it done?", "It starts; the first figures come in a moment.", WATCH)
    return Answer("When is it done?", "No run yet.", WATCH, ("polybackfill run",))


def _when(picture: dict[str, Any], state: run_state.RunState) -> Answer:
    question = "When is it done?"
    if state.is_running is False:
        return _ended(question, picture, state)
    until = f" It runs {progress_line.until(picture)}." if picture.get("stop_at") else ""
    if picture["state"] == "finishing":
        return Answer(question, "Everything is fetched; it makes the reports.")
    if picture["state"] == "draining":
        return Answer(question, "It is stopping: it stores the rows under way.", WATCH)
    if picture.get("following") or picture["eta_s"] is None:
        return _open_end(question, picture, until)
    left, end = formats.duration(picture["eta_s"]), picture["now"] + picture["eta_s"]
    if picture.get("stop_at") and end > picture["stop_at"]:
        runs = progress_line.until(picture)
        text = f"Not in this run, which goes on {runs}: all of it takes {left}."
        return Answer(question, text, WATCH)
    at = time.strftime("%A %H:%M %Z", time.localtime(end))
    return Answer(question, f"In {left}: {at}.{until}")


def _ended(question: str, picture: dict[str, Any], state: run_state.RunState) -> Answer:
    took = formats.duration(picture.get("took_s", 0.0))
    if state.name == "finished" and not _in_error(picture):
        return Answer(question, f"Done, after {took}.")
    ended = {"finished": "It ended", "stopped": "It was stopped"}.get(state.name, "It broke off")
    if followed := picture.get("following"):
        text = f"{ended} after {took}; it {progress_line.followed(followed)}."
        return Answer(question, text, WATCH)
    return Answer(question, f"{ended} after {took}, and not all is done.", WATCH)


def _open_end(question: str, picture: dict[str, Any], until: str) -> Answer:
    """Of a run that follows, or of which nobody can tell."""
    if followed := picture.get("following"):
        return Answer(question, f"All is read; {progress_line.following(followed)}.{until}")
    return Answer(question, f"Nobody can tell yet.{until}", WATCH)


def _in_error(picture: dict[str, Any]) -> int:
    return sum(part["error"] for part in picture["parts"].values())


def _missing(picture: dict[str, Any], state: run_state.RunState) -> Answer:
    question = "What is missing?"
    if picture.get("following"):
        return _not_followed(question, picture, state)
    parts = picture["parts"].items()
    left = [
        f"{part['units'] - part['done']:,} of {part['units']:,} {kind}"
        for kind, part in parts
        if part["units"] > part["done"]
    ]
    growing = [
        kind for kind, part in parts if part["units"] <= part["done"] and not part.get("complete")
    ]
    if not left and not growing:
        return Answer(question, "Nothing: every part is proven complete.")
    sentences = [f"Still to fetch: {', '.join(left)}."] if left else []
    sentences += [f"More may come of {', '.join(growing)}."] if growing else []
    return Answer(question, " ".join(sentences), WATCH, _PROGRESS)


def _not_followed(question: str, picture: dict[str, Any], state: run_state.RunState) -> Answer:
    """Of a run that has read all, and reads it again as it changes."""
    followed = picture["following"]
    sentences = [
        f"{part['error']:,} of {part['units']:,} {kind}."
        for kind, part in picture["parts"].items()
        if part["error"]
    ]
    if gaps := followed["gaps"]:
        sentences.append(f"Trades of {formats.counted(len(gaps), 'gap')} between followed times.")
    since = f"Trades since {progress_line.fresh_to(followed)}"
    if not state.is_running:
        sentences.append(f"{since}.")
    elif followed["lag_s"] > _BEHIND_S:
        sentences.append(f"{since}, of {formats.duration(followed['lag_s'])}: they come next.")
    if sentences:
        return Answer(question, " ".join(sentences), WATCH, _PROGRESS)
    newest = formats.duration(followed["lag_s"])
    again = "all else was read, and is read again as it changes"
    return Answer(question, f"Nothing but the trades of the last {newest}; {again}.")


def _limit(picture: dict[str, Any], state: run_state.RunState) -> Answer:
    question = "Is it at the limit?"
    over = sum(budget.get("violations", 0) for budget in picture["budgets"].values())
    if over:
        return Answer(question, f"It was over the limit {formats.counted(over, 'time')}.", BAD)
    if state.is_running is None:
        return Answer(question, "Unknown: the run cannot be seen from here.", WATCH)
    if not state.is_running:
        return Answer(question, "It sends nothing, and it was never over the limit.")
    used = {
        name: budget["rate_per_s"] / budget["allowed_per_s"]
        for name, budget in picture["budgets"].items()
        if budget["sent"] and budget["allowed_per_s"]
    }
    if not used:
        return Answer(question, "It has sent nothing yet.", WATCH)
    return _limit_by_use(question, picture, used)


def _limit_by_use(question: str, picture: dict[str, Any], used: dict[str, float]) -> Answer:
    """`used`: the share of what is allowed at present, by budget."""
    name = max(used, key=used.__getitem__)
    budget = picture["budgets"][name]
    figures = (
        f"{name} sends {formats.per_second(budget['rate_per_s'])} of "
        f"{formats.per_second(budget['allowed_per_s'])} requests/s allowed"
    )
    if used[name] >= _AT_LIMIT:
        return Answer(question, f"Yes, and never over it: {figures}.")
    waits = progress_line.waiting(picture)
    at_limit = _count_waits(picture, _LIMIT)
    if at_limit and used[name] >= _NEAR_LIMIT:
        text = f"Yes, {formats.counted(at_limit, 'worker')} just now: {figures} on average"
        return Answer(question, f"{text}{f'; {waits}' if waits else ''}.")
    tone = GOOD if picture.get("following") else WATCH  # it has no use for all of the limit
    if not waits and _count_waits(picture, _REST):
        waits = "its workers rest between units, as BACKFILL_SLEEP_MS says"
    return Answer(question, f"No: {figures}{f'; {waits}' if waits else ''}.", tone)


def _count_waits(picture: dict[str, Any], reason: str) -> int:
    """Workers of all parts that wait for so."""
    return sum(part["waits"].get(reason, 0) for part in picture["parts"].values())


def _find_troubles(picture: dict[str, Any], state: run_state.RunState) -> Iterator[_Trouble]:
    if state.name in {"crashed", "failed"}:
        yield _Trouble(f"the run {state.name}", BAD, _again(picture))
    if state.name in {"stalled", "unknown"}:
        yield _Trouble(str(state), BAD, "polybackfill doctor")
    if not state.is_running and state.name in {"running", "draining", "finishing"}:
        yield _Trouble("the run ended without notice", BAD, _again(picture))
    if (waits := progress_line.waiting(picture)) and picture["state"] == "running":
        yield _Trouble(waits, WATCH)
    if picture["state"] == "running" and picture["still_s"] > _STANDSTILL_S:
        text = f"nothing has moved for {formats.duration(picture['still_s'])}"
        is_long = picture["still_s"] >= _LAG_S
        yield _Trouble(text, BAD if is_long else WATCH, "polybackfill doctor" if is_long else "")
    if stalls := sum(part.get("stalls", 0) for part in picture["parts"].values()):
        yield _Trouble(f"{formats.counted(stalls, 'stalled worker')} replaced", WATCH)
    if paused := picture.get("paused"):
        text = f"a person has paused {', '.join(paused)}"
        yield _Trouble(text, WATCH, "polybackfill ui")
    if in_error := _in_error(picture):
        command = "polybackfill plan reset --errors"
        kinds = [kind for kind, part in picture["parts"].items() if part["error"]]
        text = f"{formats.counted(in_error, 'unit')} of {', '.join(kinds)} in error"
        yield _Trouble(text, BAD, command)
    if aside := progress_line.set_aside(picture):
        command = "polybackfill quarantine list"
        yield _Trouble(f"{formats.counted(aside, 'row')} set aside", WATCH, command)
    for kind, reason in picture.get("held_back", {}).items():
        text = f"{kind} held back: {terminal.excerpt(reason)}"
        yield _Trouble(text, WATCH, "polybackfill doctor --probe")
    lag_s = picture.get("source_lag_s")
    if lag_s is not None and lag_s > _LAG_S:
        yield _Trouble(f"the API is {formats.duration(lag_s)} behind the chain", WATCH)
    if followed := picture.get("following"):
        yield from _find_lateness(followed, state)


def _find_lateness(followed: dict[str, Any], state: run_state.RunState) -> Iterator[_Trouble]:
    if state.is_running and followed["lag_s"] > _LAG_S:
        text = f"new trades are stored {formats.duration(followed['lag_s'])} late"
        yield _Trouble(text, WATCH)
    if gaps := followed["gaps"]:
        text = f"trades of {formats.counted(len(gaps), 'gap')} were not followed"
        yield _Trouble(text, WATCH, *_PROGRESS)


def _again(picture: dict[str, Any]) -> str:
    """What continues a run that has ended."""
    return "polybackfill run --follow" if picture.get("following") else "polybackfill run"


def _wrong(troubles: list[_Trouble]) -> Answer:
    question = "Is anything wrong?"
    if not troubles:
        return Answer(question, "No.")
    text = "; ".join(trouble.text for trouble in troubles)
    tone = BAD if any(trouble.tone == BAD for trouble in troubles) else WATCH
    return Answer(question, f"{text[0].upper()}{text[1:]}.", tone)


def _to_do(troubles: list[_Trouble], picture: dict[str, Any], state: run_state.RunState) -> Answer:
    question = "What do I do about it?"
    again = _again(picture)
    commands = tuple(dict.fromkeys(trouble.command for trouble in troubles if trouble.command))
    if state.name == "stopped" and not commands:
        return Answer(question, "Start it again to continue.", WATCH, (again,))
    if not commands:
        return Answer(question, "Nothing." if not troubles else "Nothing: it goes on by itself.")
    if state.is_running is False and (state.name != "finished" or _in_error(picture)):
        commands = (*(command for command in commands if command != again), again)
    if state.is_running and commands == ("polybackfill plan reset --errors",):
        text = (
            "Try again now, on the page under Errors, or queue it for the next run when this one "
            "has ended:"
        )
        return Answer(question, text, WATCH, ("polybackfill ui", *commands))
    return Answer(question, "Look at it, then:", WATCH, commands)
