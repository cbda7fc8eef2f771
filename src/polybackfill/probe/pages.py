"""What pages of any of the lists must show, whatever their rows are about."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence

from polybackfill import errors, formats, records
from polybackfill.polymarket import endpoints, pagination
from polybackfill.probe.evidence import Answer, Broken, Evidence, Json, Page, Refused, Unseen

# Pages this small show within two requests whether the next one goes on where the first ended.
_SMALL_PAGE = 100
# One row, or such a share of them, may be odd without a change of the API.
_ODD_SHARE = 0.01
_REFUSALS = (400, 422)
_NOT_FOUND = 404

Identity = Callable[[Json], Hashable]


def require(is_met: bool, seen: str) -> str:
    """`seen` when the expectation is met. Raises Broken with it otherwise."""
    if not is_met:
        raise Broken(seen)
    return seen


@contextlib.contextmanager
def contradicting() -> Iterator[None]:
    """An answer that a parser cannot take contradicts what is taken for granted of its shape."""
    try:
        yield
    except errors.Retry as problem:
        raise Broken(str(problem)) from problem


def data_page(answer: Answer) -> Page:
    """A page of the Data API. Raises Unseen when it is none; its own check says why."""
    rows, pagination = answer.fields.get("data"), answer.fields.get("pagination")
    if rows is None and isinstance(pagination, dict):
        rows = []
    if not isinstance(rows, list) or not isinstance(pagination, dict):
        raise Unseen("the answer is no page of rows")
    cursor = pagination.get("next_cursor")
    objects = [row for row in rows if isinstance(row, dict)]
    return Page(objects, cursor if isinstance(cursor, str) else None, answer)


def list_of(answer: Answer, name: str) -> list[object]:
    """The list an answer holds under a name. Raises Broken when there is none."""
    rows = answer.fields.get(name)
    if not isinstance(rows, list):
        raise Broken(f"an answer with {', '.join(answer.fields) or 'no fields'}")
    return rows


def check_envelope(answers: Sequence[Answer]) -> str:
    """`{data, pagination}`, and what it says about a next page agrees. Raises Broken."""
    for answer in answers:
        pagination = answer.fields.get("pagination")
        if answer.fields.get("data", "missing") is not None:
            list_of(answer, "data")
        if not isinstance(pagination, dict):
            raise Broken(f"an answer with {', '.join(answer.fields) or 'no fields'}")
        more, cursor = pagination.get("has_more"), pagination.get("next_cursor", "missing")
        is_cursor = cursor is None or (isinstance(cursor, str) and cursor not in {"", "missing"})
        agree = isinstance(more, bool) and is_cursor and more == (cursor is not None)
        require(agree, f"has_more {more!r} with next_cursor {_short(cursor)}")
    return formats.counted(len(answers), "page") + " of that shape"


def check_usable(rows: int, reasons: Sequence[str]) -> str:
    """The parser takes the rows. `reasons`: why it set some aside. Raises Broken, Unseen."""
    if not rows:
        raise Unseen("no row to read")
    if not reasons:
        return f"{formats.counted(rows, 'row')}, all readable"
    reason, _ = Counter(reasons).most_common(1)[0]
    seen = f"{len(reasons):,} of {formats.counted(rows, 'row')} not readable: {reason}"
    return require(len(reasons) <= max(1, rows * _ODD_SHARE) and len(reasons) < rows, seen)


def check_types(rows: Sequence[Json], expected: dict[str, type | tuple[type, ...]]) -> str:
    """The JSON types of fields are the documented ones. Raises Broken, Unseen."""
    if not rows:
        raise Unseen("no row to look at")
    drifted = {
        name: type(row.get(name)).__name__
        for row in rows
        for name, kinds in expected.items()
        if not _is_of(row.get(name), kinds)
    }
    shown = ", ".join(f"{name} is {kind}" for name, kind in sorted(drifted.items()))
    return require(not drifted, shown or f"{formats.counted(len(rows), 'row')} with these types")


def check_sorted(seconds: Sequence[float], *, descending: bool) -> str:
    """In order of time. Raises Broken, Unseen."""
    if len(set(seconds)) < 2:
        raise Unseen("fewer than two rows with different values")
    inversions = sum(
        (later > earlier) if descending else (later < earlier)
        for earlier, later in itertools.pairwise(seconds)
    )
    return require(
        not inversions, f"{formats.counted(len(seconds), 'row')}, {inversions:,} out of order"
    )


def small_size(rows: int) -> int:
    """A page size with which so many rows need two pages or more. Raises Unseen."""
    if rows < 2:
        raise Unseen("fewer than two rows")
    return max(1, min(_SMALL_PAGE, rows // 3))


def check_continues(whole: Page, first: Page, second: Page, identity: Identity) -> str:
    """Two small pages hold the rows of the large one, no row twice, none left out. Raises Broken.

    A feed may have grown at its head between the requests: then only what both saw counts.
    """
    require(first.cursor != second.cursor or second.cursor is None, "the same cursor once more")
    expected = [identity(row) for row in whole.rows]
    walked = [identity(row) for row in (*first.rows, *second.rows)]
    shown = (
        f"{len(first.rows):,} and {len(second.rows):,} of {formats.counted(len(expected), 'row')}"
    )
    if walked == expected[: len(walked)]:
        return f"{shown}, in one line"
    begins = expected.index(walked[0]) if walked[0] in expected else -1
    if begins >= 0 and walked == expected[begins : begins + len(walked)]:
        return f"{shown}, in one line behind newer rows"
    begins = walked.index(expected[0]) if expected[0] in walked else -1
    if begins > 0 and walked[begins:] == expected[: len(walked) - begins]:
        return f"{shown}, in one line behind newer rows"
    known = Counter(expected)
    missing = sum((Counter(expected[: len(walked)]) - Counter(walked)).values())
    again = sum((Counter(walked) - known).values())
    raise Broken(f"{shown}: {missing:,} left out, {again:,} repeated or others")


async def second_page(
    evidence: Evidence, feed: pagination.FeedQuery, first: Page, size: int
) -> Answer:
    """What follows a small page. Raises Broken when it names nothing that follows."""
    rows = formats.counted(len(first.rows), "row")
    if first.cursor is None:
        raise Broken(f"{rows}, more known, and no cursor")
    require(len(first.rows) <= size, f"{rows} where {size:,} were asked for")
    return await evidence.next(feed, first.cursor)


def check_page_size(page: Page, small: Page, size: int, small_asked: int) -> str:
    """Pages are as long as asked for while more follows. Raises Broken."""
    for rows, wanted, cursor in (
        (len(page.rows), size, page.cursor),
        (len(small.rows), small_asked, small.cursor),
    ):
        fits = rows == wanted if cursor is not None else rows <= wanted
        require(
            fits,
            f"{formats.counted(rows, 'row')} where {wanted:,} were asked for, and more follows",
        )
    return (
        f"{formats.counted(len(page.rows), 'row')} of {size:,}, {len(small.rows):,} of "
        f"{small_asked:,}"
    )


async def check_bad_cursor(
    evidence: Evidence, feed: pagination.FeedQuery, cursor: str | None
) -> str:
    """A cursor that is damaged is refused, not answered. Raises Broken, Unseen."""
    refusal = await refusal_of(evidence, feed, cursor)
    return require(refusal.status in _REFUSALS, f"refused with {refusal.status}")


async def refusal_of(evidence: Evidence, feed: pagination.FeedQuery, cursor: str | None) -> Refused:
    """What a damaged cursor meets. Raises Broken when it is answered, Unseen without a cursor."""
    if cursor is None:
        raise Unseen("no cursor to damage")
    middle = len(cursor) // 2
    damaged = cursor[:middle] + ("B" if cursor[middle] == "A" else "A")
    try:
        answer = await evidence.next(feed, damaged)
    except Refused as refusal:
        return refusal
    raise Broken(f"answered like any other, {len(answer.body):,} bytes")


async def check_unknown(evidence: Evidence, feed: pagination.FeedQuery) -> str:
    """Who or what nobody knows has no rows, which is no error. Raises Broken."""
    answer = await evidence.answer(feed.route, feed.request_params(None))
    rows = answer.fields.get("data", "nothing")
    return require(rows in (None, []), f"data: {_short(rows)}")


async def check_not_found(
    evidence: Evidence, route: endpoints.Route, query: pagination.Params
) -> str:
    """What does not exist is answered with 404. Raises Broken."""
    try:
        answer = await evidence.answer(route, query)
    except Refused as refusal:
        return require(refusal.status == _NOT_FOUND, f"refused with {refusal.status}")
    raise Broken(f"answered all the same, {len(answer.body):,} bytes")


def condition_of(row: Json) -> str:
    """The condition a row names, 64 hex digits; '' when it names none that is one."""
    return _normal(records.normalise_condition, row.get("condition_id", row.get("conditionId")))


def wallet_of(row: Json) -> str:
    """The wallet a row names, 40 hex digits; '' when it names none that is one."""
    return _normal(records.normalise_wallet, row.get("proxy_wallet"))


def number_of(value: object) -> float:
    """A number, also as text; NaN for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) else float("nan")
    except ValueError:
        return float("nan")


def second_of(row: Json) -> int:
    """The second of a feed row, 0 when it names none."""
    return integer_of(row.get("timestamp"))


def integer_of(value: object, missing: int = 0) -> int:
    """A whole number, also as text; `missing` for anything else."""
    number = number_of(value)
    return int(number) if math.isfinite(number) else missing


def of_size(feed: pagination.FeedQuery, rows: int) -> pagination.FeedQuery:
    """The same question in pages of another size; as it is when that is its size."""
    return feed if rows == endpoints.PAGE_ROWS else feed.with_page_size(rows)


def _normal(normalise: Callable[[str], str], value: object) -> str:
    try:
        return normalise(value) if isinstance(value, str) else ""
    except errors.Reject:
        return ""


def _is_of(value: object, kinds: type | tuple[type, ...]) -> bool:
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, bool):
        return bool in wanted
    return isinstance(value, wanted)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
