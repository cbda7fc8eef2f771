"""What an error of ClickHouse means for the run: one place, by the code in its text."""

from __future__ import annotations

import re

from polybackfill import errors

# "DB::Exception: " is in every error text, older servers included; the code stands before it.
_CODE = re.compile(r"Code: (\d+)[.,]")
_DATABASE = re.compile(r"Database [`'\"]?([^`'\"\s]+)[`'\"]? does")
_NO_SPACE = re.compile(r"No space left on device|ENOSPC|NOT_ENOUGH_SPACE|Disk quota exceeded")
# ErrnoException names the call, and then what the system said of it.
_PASSING = re.compile(
    r"Input/output error|Too many open files|Cannot allocate memory|Stale file handle"
    r"|Resource temporarily unavailable|errno: (?:5|11|12|23|24|116)\b"
)
# What ClickHouse adds when another server of a cluster breaks off, whatever it met. An error which
# that server tells comes with its own code.
_BROKE_OFF = "while receiving packet from"

# Codes of src/Common/ErrorCodes.cpp of ClickHouse, read 2026-11.
_CREDENTIALS = frozenset({192, 193, 194, 516})  # user unknown, password wrong, required, refused
_RIGHTS = frozenset({392, 497})  # QUERY_IS_PROHIBITED, ACCESS_DENIED
_PROFILE = frozenset({164, 452})  # READONLY, SETTING_CONSTRAINT_VIOLATION
_UNKNOWN_DATABASE = 81
_UNKNOWN_TABLE = 60
_NOT_ENOUGH_SPACE = 243
# The wait in seconds gives the server room; a longer one would only idle the workers.
_BUSY_S = {
    159: 5.0,  # TIMEOUT_EXCEEDED
    202: 5.0,  # TOO_MANY_SIMULTANEOUS_QUERIES
    203: 5.0,  # NO_FREE_CONNECTION
    209: 5.0,  # SOCKET_TIMEOUT
    210: 5.0,  # NETWORK_ERROR
    216: 2.0,  # QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
    201: 60.0,  # QUOTA_EXCEEDED: by the hour, say
    241: 10.0,  # MEMORY_LIMIT_EXCEEDED
    242: 30.0,  # TABLE_IS_READ_ONLY: a replica that lost its keeper
    252: 10.0,  # TOO_MANY_PARTS
    279: 10.0,  # ALL_CONNECTION_TRIES_FAILED
    285: 10.0,  # TOO_FEW_LIVE_REPLICAS
    319: 10.0,  # UNKNOWN_STATUS_OF_INSERT
    173: 10.0,  # CANNOT_ALLOCATE_MEMORY
    198: 10.0,  # DNS_ERROR
    236: 5.0,  # ABORTED: the server is being stopped
    394: 1.0,  # QUERY_WAS_CANCELLED
    439: 5.0,  # CANNOT_SCHEDULE_TASK
    473: 5.0,  # DEADLOCK_AVOIDED: the table is locked
    722: 10.0,  # ASYNC_LOAD_WAIT_FAILED: tables are still being loaded
    733: 5.0,  # TABLE_IS_BEING_RESTARTED
    745: 5.0,  # SERVER_OVERLOADED
}
_KEEPER_S = {225: 30.0, 999: 10.0}  # NO_ZOOKEEPER, KEEPER_EXCEPTION
# What may be wrong with a row of an insert. All else is no row's fault: CANNOT_PARSE_* of text,
# escapes, strings, input, dates, times, numbers, arrays, UUIDs and booleans, TYPE_MISMATCH,
# ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, INCORRECT_DATA, TOO_LARGE_ARRAY_SIZE, _STRING_SIZE,
# SIZES_OF_ARRAYS_DONT_MATCH, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE,
# CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, DECIMAL_OVERFLOW,
# VIOLATED_CONSTRAINT.
_OF_ROWS = frozenset(
    {6, 25, 26, 27, 38, 41, 72, 130, 376, 467, 53, 69, 70, 117, 128, 131, 190, 321, 349, 395, 407}
    | {469}
)
_TEXT_MAX = 600


def code(text: str) -> int | None:
    """ClickHouse's number of the error, None when the text is no error of ClickHouse."""
    match = _CODE.search(text)
    return int(match.group(1)) if match else None


def blames_row(text: str) -> bool:
    """Whether an error text of an insert may be about one of its rows."""
    return code(text) in _OF_ROWS


def is_passing(text: str) -> bool:
    """Whether an error text tells of trouble that ends by itself, or when a disk has room."""
    match = classify(text, location="", user="", database="")
    return isinstance(match, errors.Retry) or (
        isinstance(match, errors.Stop) and match.exit_code == errors.EXIT_UNAVAILABLE
    )


def classify(  # noqa: PLR0911 - one return for each kind of trouble
    text: str, *, location: str, user: str, database: str
) -> errors.BackfillError:
    """The class of an error text. `location`: host and port, or the folder, for the message."""
    number = code(text)
    short = _short(text)
    if number in _CREDENTIALS:
        return errors.Stop(
            f"The store at {location} refuses user {user!r}. Check CLICKHOUSE_USER and "
            f"CLICKHOUSE_PASSWORD. It said: {short}"
        )
    if number in _RIGHTS:
        return errors.Stop(
            f"User {user!r} may not do this in database {database!r} at {location}. Grant the "
            f"right. It said: {short}"
        )
    if number in _PROFILE:
        return errors.Stop(
            f"The profile of user {user!r} at {location} forbids what this program needs: it must "
            "write (readonly = 0) and say what its statements mean (no constraints on settings). "
            f"It said: {short}"
        )
    if number == _UNKNOWN_DATABASE:
        named = _DATABASE.search(text)
        if named and named.group(1) != database:
            return errors.Stop(
                f"The store at {location} has no database {named.group(1)!r}; the one in use is "
                f"{database!r}. It said: {short}"
            )
        return errors.Stop(
            f"The store at {location} has no database {database!r} (user {user!r}). Create it or "
            f"set CLICKHOUSE_DATABASE. It said: {short}"
        )
    if number == _NOT_ENOUGH_SPACE or _NO_SPACE.search(text):
        return errors.Stop(
            f"The disk of the store at {location} is full. Free some space and start again: "
            f"nothing acknowledged is lost. It said: {short}",
            exit_code=errors.EXIT_UNAVAILABLE,
        )
    if number is not None and _PASSING.search(text):
        return errors.Retry(
            f"The machine of the store at {location} has a fault: {short}", after_s=10.0
        )
    if number is not None and _BROKE_OFF in text:
        return errors.Retry(f"A server behind the store at {location} broke off: {short}")
    if number in _BUSY_S:
        return errors.Retry(f"The store at {location} is busy: {short}", after_s=_BUSY_S[number])
    if number in _KEEPER_S:
        return errors.Retry(
            f"The Keeper of the store at {location} does not answer, or refuses: {short}",
            after_s=_KEEPER_S[number],
        )
    if number == _UNKNOWN_TABLE:
        return errors.Stop(
            f"The store at {location} lacks a table. `polybackfill init` creates those of this "
            f"program, `polybackfill sql 'SHOW TABLES'` lists what is there. It said: {short}"
        )
    if number is None:
        # A proxy, or something that is no ClickHouse at all.
        return errors.Retry(f"Odd answer from {location}: {short}", after_s=5.0)
    return errors.GiveUp(f"The store at {location} refused: {short}")


def _short(text: str) -> str:
    """Of a syntax error what is wrong, and not all that would be right, which fills a screen."""
    short = text.strip()
    if len(short) > _TEXT_MAX:
        short = short.partition(" Expected one of:")[0]
    return short[:_TEXT_MAX]
