"""What folds leave on disk: finished units in immutable segments, the rest in one small state.

state.json           open and failed units, list of segments, sequence number
state.prev.json      the generation before, kept for a torn state.json
done-000001.jsonl    up to 10,000 finished units, one JSON receipt a line, never changed
done-000001.idx      the same keys as packed index entries, derived; rebuilt when missing
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import orjson

from polybackfill import errors
from polybackfill.checkpoint import done_index, journal, unit_states
from polybackfill.filesystem import files

STATE = "state.json"
STATE_PREVIOUS = "state.prev.json"
DAMAGED = "state.damaged.json"
SEGMENT_UNITS = 10_000

_SEGMENT_NAME = re.compile(r"done-(\d{6,})\.(jsonl|idx)")
_encoder = msgspec.json.Encoder()
_receipt_decoder = msgspec.json.Decoder(unit_states.Receipt)


class Totals(msgspec.Struct, kw_only=True):
    """Sums over finished units; always counted anew from receipts, never carried on.

    `last_key`, `last_at`: of the unit that ended last, which is transition `last_seq`.
    """

    units: int = 0
    keys: int = 0
    rows: int = 0
    pages: int = 0
    rejected: int = 0
    last_seq: int = 0
    last_key: str = ""
    last_at: str = ""

    def add(self, receipt: unit_states.Receipt) -> None:
        """Count one more receipt."""
        counts = receipt.counts
        self._sum(1, len(receipt.unit.keys), counts.rows, counts.pages, counts.rejected)
        self._ended(receipt.seq, receipt.unit.keys[-1], receipt.at)

    def merge(self, more: Totals) -> None:
        """Count another sum in."""
        self._sum(more.units, more.keys, more.rows, more.pages, more.rejected)
        self._ended(more.last_seq, more.last_key, more.last_at)

    def _sum(self, units: int, keys: int, rows: int, pages: int, rejected: int) -> None:
        self.units += units
        self.keys += keys
        self.rows += rows
        self.pages += pages
        self.rejected += rejected

    def _ended(self, seq: int, key: str, at: str) -> None:
        if seq >= self.last_seq:
            self.last_seq, self.last_key, self.last_at = seq, key, at


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One `done-*.jsonl` file: its size, checksum (crc32, hex), and what its receipts sum to."""

    name: str
    bytes: int
    crc: str
    last_seq: int
    totals: dict[str, Totals]

    @property
    def units(self) -> int:
        """Receipts in the file."""
        return sum(totals.units for totals in self.totals.values())


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`state.json`. `crc` is the crc32 of the other fields, compact, in this order."""

    format: str
    version: int
    store_id: str
    generation: int
    seq: int
    synced_seq: int
    windows: tuple[unit_states.WindowOf, ...]
    segments: tuple[Segment, ...]
    open: tuple[unit_states.OpenUnit, ...]
    failed: tuple[unit_states.FailedUnit, ...]
    crc: str = ""


_state_decoder = msgspec.json.Decoder(State)


def empty_state(store_id: str) -> State:
    """The state of a checkpoint in which nothing has happened."""
    return State(
        format=journal.FORMAT,
        version=journal.VERSION,
        store_id=store_id,
        generation=0,
        seq=0,
        synced_seq=0,
        windows=(),
        segments=(),
        open=(),
        failed=(),
    )


def read_state(path: Path) -> State | None:
    """The state in a file; None when there is no file, or it is torn or damaged.

    Raises errors.Stop for a file of another program or a newer version.
    """
    try:
        with files.stopping("read", path):
            content = path.read_bytes()
        fields = orjson.loads(content)
    except errors.Stop as stop:
        if isinstance(stop.__cause__, FileNotFoundError):
            return None
        raise
    except orjson.JSONDecodeError:
        return None
    named = fields if isinstance(fields, dict) else {}
    journal.check_format(named.get("format"), named.get("version"), path)
    try:
        state = _state_decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return state if state.crc == _state_crc(state) else None


def write_state(folder: Path, state: State, step: files.Step = files.no_step) -> None:
    """Write `state.json`; the old one is kept as `state.prev.json`. Raises OSError."""
    sealed = msgspec.structs.replace(state, crc=_state_crc(state))
    content = orjson.dumps(msgspec.to_builtins(sealed), option=orjson.OPT_INDENT_2)
    path = folder / STATE
    if path.exists():
        files.copy_atomic(path, folder / STATE_PREVIOUS, step)
    files.write_atomic(path, content + b"\n", step)


def restore_previous(folder: Path, step: files.Step = files.no_step) -> None:
    """Put the previous state, if any, in place of a damaged one, kept aside. Raises OSError."""
    damaged = folder / STATE
    if damaged.exists():
        files.copy_atomic(damaged, folder / DAMAGED, step)
    if (folder / STATE_PREVIOUS).exists():
        files.copy_atomic(folder / STATE_PREVIOUS, damaged, step)
    else:
        damaged.unlink(missing_ok=True)
    files.sync_folder(folder, step)


class SegmentFolder:
    """The segments of one checkpoint folder."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_units: int = SEGMENT_UNITS,
        step: files.Step = files.no_step,
    ) -> None:
        self._folder = folder
        self._segment_units = segment_units
        self._step = step
        self._next_number = 1 + max(_numbers(folder), default=0)
        self._retired: list[Segment] = []
        self.segments: tuple[Segment, ...] = ()

    def load(self, segments: tuple[Segment, ...], states: unit_states.UnitStates) -> None:
        """Fill the index of finished keys. Raises errors.Stop for a missing or damaged segment."""
        self.segments = segments
        for segment in segments:
            self._check_size(segment)
            states.done.load(self._packed(segment, states.windows))

    def after(self, seq: int) -> Iterator[unit_states.Receipt]:
        """Receipts of transitions after `seq`; only segments that have some are read."""
        for segment in self.segments:
            if segment.last_seq > seq:
                yield from (receipt for receipt in self.read(segment) if receipt.seq > seq)

    def read(self, segment: Segment) -> Iterator[unit_states.Receipt]:
        """The receipts of a segment in order. Raises errors.Stop naming a damaged line."""
        path = self._folder / segment.name
        with files.stopping("read", path):
            content = path.read_bytes()
        sound = _crc(content) == segment.crc
        for number, line in enumerate(content.splitlines(), 1):
            try:
                yield _receipt_decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise errors.Stop(
                    f"{path} line {number} is damaged: {error}; {journal.REMEDY}"
                ) from error
        if not sound:
            raise errors.Stop(
                f"{path} (lines 1 to {segment.units}) does not have the checksum noted for it; "
                f"{journal.REMEDY}"
            )

    def fold(self, snapshot: unit_states.StatesSnapshot) -> tuple[Segment, ...]:
        """Write finished units into segments and take forgotten ones out; raises OSError.

        Only new files are written; the segments listed in the state on disk stay as they are,
        and go one fold later, when the previous state does not list them either.
        """
        kept, loose = list(self.segments), list[unit_states.Receipt]()
        if snapshot.forgotten:
            kept, loose = self._take_out(kept, snapshot)
        if snapshot.finished and kept and kept[-1].units < self._segment_units:
            loose += self.read(kept.pop())
        receipts = sorted([*loose, *snapshot.finished], key=lambda receipt: receipt.seq)
        numbers = {window: number for number, window in enumerate(snapshot.windows)}
        for start in range(0, len(receipts), self._segment_units):
            chunk = receipts[start : start + self._segment_units]
            kept.append(self.write(chunk, numbers))
        return tuple(kept)

    def write(
        self, receipts: list[unit_states.Receipt], numbers: dict[unit_states.WindowOf, int]
    ) -> Segment:
        """A new segment of these receipts, in the order of their numbers; raises OSError.

        `numbers`: of each kind and window, its place in the state's list of them.
        """
        content = b"".join(_encoder.encode(receipt) + b"\n" for receipt in receipts)
        totals: dict[str, Totals] = {}
        for receipt in receipts:
            totals.setdefault(receipt.unit.kind, Totals()).add(receipt)
        segment = Segment(
            name=f"done-{self._next_number:06d}.jsonl",
            bytes=len(content),
            crc=_crc(content),
            last_seq=receipts[-1].seq,
            totals=totals,
        )
        self._next_number += 1
        files.write_atomic(self._folder / segment.name, content, self._step)
        packed = _pack(receipts, numbers)
        files.write_atomic(
            self._index_path(segment), _index_head(segment, packed) + packed, self._step
        )
        return segment

    def replaced(self, segments: tuple[Segment, ...]) -> None:
        """The state on disk lists these now: remove what the last two states do not list."""
        for segment in self._retired:
            self._unlink(segment.name)
        current = {segment.name for segment in segments}
        self._retired = [segment for segment in self.segments if segment.name not in current]
        self.segments = segments

    def sweep(self, in_use: Iterable[Segment]) -> None:
        """Remove what a killed fold left behind, all but the listed segments. Raises OSError."""
        names = {segment.name for segment in in_use}
        for path in self._folder.glob("done-*"):
            named = _SEGMENT_NAME.fullmatch(path.name)
            if path.suffix == ".tmp" or (named and f"{path.stem}.jsonl" not in names):
                self._step(f"unlink {path.name}")
                path.unlink(missing_ok=True)

    def _take_out(
        self, segments: list[Segment], snapshot: unit_states.StatesSnapshot
    ) -> tuple[list[Segment], list[unit_states.Receipt]]:
        """Segments without a forgotten key, and the receipts left over from the others."""
        gone = snapshot.forgotten
        hashed = {done_index.entry(kind, key, 0)[:-4] for kind, key in gone.keys}
        numbers = {window: number for number, window in enumerate(snapshot.windows)}
        kept: list[Segment] = []
        loose: list[unit_states.Receipt] = []
        for segment in segments:
            packed = self._packed(segment, numbers)
            entries = {packed[at : at + 14] for at in range(0, len(packed), done_index.ENTRY_BYTES)}
            if gone.kinds.isdisjoint(segment.totals) and hashed.isdisjoint(entries):
                kept.append(segment)
                continue
            left = [unit_states.without(receipt, gone) for receipt in self.read(segment)]
            loose += [receipt for receipt in left if receipt is not None]
        return kept, loose

    def _packed(self, segment: Segment, numbers: dict[unit_states.WindowOf, int]) -> bytes:
        """The segment's index entries, from the index file or else from the receipts."""
        path = self._index_path(segment)
        content = path.read_bytes() if path.exists() else b""
        packed = content[len(_index_head(segment, b"")) :]
        if content.startswith(_index_head(segment, packed)):
            return packed
        return _pack(list(self.read(segment)), numbers)

    def _check_size(self, segment: Segment) -> None:
        path = self._folder / segment.name
        with files.stopping("read", path):
            found_bytes = path.stat().st_size
        if found_bytes != segment.bytes:
            raise errors.Stop(
                f"{path} has {found_bytes} bytes, {segment.bytes} are noted for it; "
                f"{journal.REMEDY}"
            )

    def _index_path(self, segment: Segment) -> Path:
        return (self._folder / segment.name).with_suffix(".idx")

    def _unlink(self, name: str) -> None:
        for path in (self._folder / name, (self._folder / name).with_suffix(".idx")):
            self._step(f"unlink {path.name}")
            path.unlink(missing_ok=True)


def _pack(receipts: list[unit_states.Receipt], numbers: dict[unit_states.WindowOf, int]) -> bytes:
    return b"".join(
        done_index.entry(receipt.unit.kind, key, numbers[(receipt.unit.kind, *receipt.unit.window)])
        for receipt in receipts
        for key in receipt.unit.keys
    )


def _index_head(segment: Segment, packed: bytes) -> bytes:
    return f"{segment.crc} {_crc(packed)}\n".encode()


def _state_crc(state: State) -> str:
    return _crc(_encoder.encode(msgspec.structs.replace(state, crc="")))


def _crc(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _numbers(folder: Path) -> Iterator[int]:
    for path in folder.glob("done-*"):
        if (named := _SEGMENT_NAME.match(path.name)) is not None:
            yield int(named[1])
