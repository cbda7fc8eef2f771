"""`--since` and `--until`: days or times in UTC, both inclusive; `--until 07:00`: when to stop."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from polybackfill import errors, units

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_FORMS = "2024-08-21, 2024-08-21T18:30:00, or seconds since 1970"


def parse(since: str | None, until: str | None) -> units.Window:
    """The window in epoch seconds. A day as `until` means its last second.

    Raises errors.Stop (exit 78) for a text that is no time, and for `since` after `until`.
    """
    first = None if since is None else _second("--since", since, end_of_day=False)
    last = None if until is None else _second("--until", until, end_of_day=True)
    if first is not None and last is not None and first > last:
        raise errors.Stop(f"--since {since} lies after --until {until}: swap them")
    return first, last


def stop_time(text: str | None, now: float) -> float | None:
    """The next moment at which this machine's clock shows `text` (07:00), in epoch seconds.

    None when the text is no time of day, but a day: that one bounds what is fetched.
    """
    shown = _CLOCK.fullmatch(text or "")
    if shown is None:
        return None
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = midnight.replace(hour=int(shown[1]), minute=int(shown[2]))
    moments = (at for day in (today, today + timedelta(days=1)) for at in _moments(day))
    return next(at for at in moments if at > now)


def local_text(moment: float) -> str:
    """Epoch seconds as this machine's clock will show them: `2026-11-29 07:00 CET`."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _moments(local: datetime) -> list[float]:
    """When this machine's clock shows that: twice when it was put back in between, and when it is
    put forward past it, the time that it shows instead.
    """
    both = {local.replace(fold=fold).astimezone().timestamp() for fold in (0, 1)}
    seen = [at for at in both if datetime.fromtimestamp(at).replace(fold=0) == local]
    return sorted(seen or {max(both)})


def _second(flag: str, text: str, *, end_of_day: bool) -> int:
    if text.isdecimal() and len(text) > 8:
        return _checked(flag, text, int(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        forms = f"07:00, {_FORMS}" if end_of_day else _FORMS
        raise errors.Stop(f"{flag} {text}: not a day or time; give {forms}") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if end_of_day and len(text) == len("2024-08-21"):
        moment += timedelta(days=1, seconds=-1)
    return _checked(flag, text, int(moment.timestamp()))


def _checked(flag: str, text: str, second: int) -> int:
    # A ClickHouse DateTime ends in 2106; a larger number is milliseconds given by mistake.
    if not 0 < second < 2**32:
        raise errors.Stop(f"{flag} {text}: outside 1970 to 2106; give {_FORMS}")
    return second
