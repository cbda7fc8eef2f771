"""The append-only file: one checked JSON line for each transition, numbered without a gap.

A changed field of a line is a new `VERSION`. Seconds are epoch seconds, `at` is UTC as ISO 8601.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from polybackfill import errors, units
from polybackfill.filesystem import files, sealed_json

FORMAT = "polybackfill-ledger"
VERSION = 1
CURRENT = "ledger.jsonl"
PREVIOUS = "ledger.prev.jsonl"
REMEDY = (
    "restore the folder from a backup, or move it away and start again: rows already stored are "
    "recognised and not doubled"
)


class Transition(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """One line of the journal. `seq` grows by one from line to line, across all its files."""

    seq: int
    at: str


class Begin(Transition, frozen=True, kw_only=True, tag="begin"):
    """A worker took the unit."""

    unit: units.Unit
    attempt: int


class Advance(Transition, frozen=True, kw_only=True, tag="advance"):
    """Everything before `resume` is stored; `counts` are the unit's totals up to there."""

    id: str
    attempt: int
    resume: units.Resume | None
    counts: units.Counts


class Restart(Transition, frozen=True, kw_only=True, tag="restart"):
    """The walk begins again at its first page."""

    id: str
    attempt: int


class GiveBack(Transition, frozen=True, kw_only=True, tag="give_back"):
    """The unit was let go before its end; `fenced`: what its worker still sends is refused."""

    id: str
    attempt: int
    counted: bool
    fenced: bool
    not_before: float
    error: str


class Interrupted(Transition, frozen=True, kw_only=True, tag="interrupted"):
    """The process that held the unit died."""

    id: str
    attempt: int


class Finish(Transition, frozen=True, kw_only=True, tag="finish"):
    """The end is proven and stored; `counts` are the unit's totals."""

    id: str
    attempt: int
    counts: units.Counts
    end: units.FeedEnd | None = None


class Fail(Transition, frozen=True, kw_only=True, tag="fail"):
    """The unit ended in error; `passing`: by trouble of the kind that passes."""

    id: str
    attempt: int
    error: str
    passing: bool = False


class Reopen(Transition, frozen=True, kw_only=True, tag="reopen"):
    """A unit in error is as if never seen, but for the number of its attempts."""

    id: str


class Split(Transition, frozen=True, kw_only=True, tag="split"):
    """Two halves take the unit's place."""

    id: str
    attempt: int
    halves: tuple[units.Unit, units.Unit]


class Forget(Transition, frozen=True, kw_only=True, tag="forget"):
    """These keys (None: all of the kind) are as if never seen."""

    kind: str
    keys: tuple[str, ...] | None


class PlanSynced(Transition, frozen=True, kw_only=True, tag="plan_synced"):
    """The plan table in the store shows every end up to `upto`."""

    upto: int


AnyTransition = (
    Begin
    | Advance
    | Restart
    | GiveBack
    | Interrupted
    | Finish
    | Fail
    | Reopen
    | Split
    | Forget
    | PlanSynced
)
_transition_decoder = msgspec.json.Decoder(AnyTransition)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a journal file; its first transition is number `after` + 1."""

    format: str
    version: int
    store_id: str
    after: int


_header_decoder = msgspec.json.Decoder(Header)


@dataclass(frozen=True)
class Content:
    """A journal file as read. `whole_bytes`: up to the end of the last good line."""

    path: Path
    header: Header
    lines: list[tuple[int, AnyTransition]]
    whole_bytes: int
    torn: bytes


def check_format(name: object, version: object, path: Path) -> None:
    """Raise errors.Stop for another program's file, or one written by a newer version."""
    if name != FORMAT:
        raise errors.Stop(
            f"{path} was not written by polybackfill; choose another checkpoint folder "
            "(BACKFILL_CHECKPOINT_DIR) or move that file away"
        )
    if not isinstance(version, int) or version > VERSION:
        raise errors.Stop(
            f"{path} has schema version {version}, this program reads up to {VERSION}; "
            "start the newer polybackfill that wrote it"
        )


def read(path: Path) -> Content | None:
    """Read a journal file to its last whole line; None when there is no file or no whole line.

    Raises errors.Stop for a foreign or newer file, for damage that is followed by good lines
    (naming the line), and when it cannot be read.
    """
    try:
        with files.stopping("read", path):
            content = path.read_bytes()
    except errors.Stop as stop:
        if isinstance(stop.__cause__, FileNotFoundError):
            return None
        raise
    raw_lines = content.split(b"\n")
    complete = _whole_lines(path, raw_lines)
    if complete == 0:
        return None
    header = _header(path, raw_lines[0])
    lines = [(at + 1, _decode(path, at + 1, raw_lines[at])) for at in range(1, complete)]
    whole_bytes = sum(len(line) + 1 for line in raw_lines[:complete])
    return Content(path, header, lines, whole_bytes, content[whole_bytes:])


def numbered_after(content: Content, seq: int) -> Iterator[AnyTransition]:
    """The transitions after `seq`, in order; errors.Stop names the line where one is missing."""
    for line_number, transition in content.lines:
        if transition.seq <= seq:
            continue
        if transition.seq != seq + 1:
            raise errors.Stop(
                f"{content.path} line {line_number} is transition {transition.seq}, but "
                f"{seq + 1} is missing before it; {REMEDY}"
            )
        seq = transition.seq
        yield transition


def _whole_lines(path: Path, raw_lines: list[bytes]) -> int:
    """How many lines from the top are good. The rest may be torn, but hold no good line."""
    complete = raw_lines[:-1]
    for at, line in enumerate(complete):
        if sealed_json.is_intact(line):
            continue
        if at == 0 and line.startswith(b"{"):
            _header(path, line)
        if any(sealed_json.is_intact(later) for later in complete[at + 1 :]):
            raise errors.Stop(f"{path} line {at + 1} is damaged; {REMEDY}")
        if at == 0:
            check_format(None, None, path)
        return at
    return len(complete)


def _header(path: Path, line: bytes) -> Header:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.Stop(f"{path} line 1 is damaged; {REMEDY}") from error
    check_format(fields.get("format"), fields.get("version"), path)
    try:
        return _header_decoder.decode(line)
    except msgspec.ValidationError as error:
        raise errors.Stop(f"{path} line 1 is damaged: {error}; {REMEDY}") from error


def _decode(path: Path, line_number: int, line: bytes) -> AnyTransition:
    try:
        decoded: AnyTransition = _transition_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.Stop(f"{path} line {line_number} is damaged: {error}; {REMEDY}") from error
    return decoded
