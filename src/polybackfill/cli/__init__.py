"""What people type: the parsers alone. A command's module is imported when it is asked for."""

from __future__ import annotations

import argparse
import gc
import importlib
import signal
import sys
import threading
from types import FrameType, ModuleType

from polybackfill import errors, streams
from polybackfill.cli import (
    command_parser,
    fetch,
    inspect,
    market_ids,
    plan,
    start,
    store,
    watchlist,
)

DESCRIPTION = """\
Loads the history of Polymarket into ClickHouse, overnight and unattended, and proves what is
complete.

Start with `polybackfill demo`: it loads a local Polymarket and needs no server."""

EXIT_CODES = """\
exit codes:  0 all done, or stopped cleanly  3 finished, some units in error
             4 no progress                   75 trouble that passes: another run, store or API
             78 settings or input               away, disk full; start it again

example:
  polybackfill demo"""

# Their handlers raise.
_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# In the order of the help.
_ENTRIES = (
    start.add_demo,
    start.add_setup,
    start.add_service,
    plan.add,
    fetch.add_run,
    inspect.add_status,
    inspect.add_ui,
    inspect.add_top,
    inspect.add_validate,
    store.add_recover,
    store.add_push,
    market_ids.add,
    market_ids.add_finalize_all,
    inspect.add_quarantine,
    market_ids.add_dims,
    inspect.add_report,
    watchlist.add,
    store.add,
    start.add_support_bundle,
    start.add_sandbox,
)


def build_parser() -> command_parser.Parser:
    """The whole command tree; each command carries the module and function behind it."""
    parser = command_parser.Parser(
        prog="polybackfill",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = command_parser.CommandGroup(parser, metavar="COMMAND", title="commands")
    for add in _ENTRIES:
        add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors made on purpose are printed, not raised."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        from importlib import metadata  # noqa: PLC0415  (the slowest import of a plain --help)

        print(f"polybackfill {metadata.version('polybackfill')}")
        return errors.EXIT_OK
    if not hasattr(arguments, "command"):
        parser.print_help()
        return errors.EXIT_CONFIG
    module_name, function_name = arguments.command
    if module_name == "run":
        streams.forgive()
    _end_on_sigterm(errors.EXIT_OK if module_name == "run" else errors.EXIT_FORCED)
    return _call(module_name, function_name, arguments)


def _call(module_name: str, function_name: str, arguments: argparse.Namespace) -> int:
    code = errors.EXIT_OK
    try:
        module = _imported(f"polybackfill.commands.{module_name}")
        _warn_on_stderr()
        code = int(getattr(module, function_name)(arguments))
        sys.stdout.flush()
    except errors.Stop as error:
        return _refused(error, error.exit_code)
    except errors.Retry as error:
        return _refused(error, errors.EXIT_UNAVAILABLE)
    except errors.BackfillError as error:
        return _refused(error, errors.EXIT_CONFIG)
    except BrokenPipeError:
        pass  # whoever read the answer has seen enough
    except OSError as error:
        if errors.exit_code_of(error) != errors.EXIT_UNAVAILABLE:
            raise  # a fault of the program, whose traceback helps
        return _refused(error, errors.EXIT_UNAVAILABLE)
    except KeyboardInterrupt:
        return 130
    return code


def _imported(name: str) -> ModuleType:
    """The module. A signal waits for its end: one that raises in the middle of the import of orjson
    is a segmentation fault. What is imported lasts: to look through it for garbage, at the import
    and once more at the exit, took a quarter of the time of a short command.
    """
    gc.disable()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _warn_on_stderr() -> None:
    """What a command without a log of its own warns of goes to stderr: stdout is its answer, which
    may be JSON. structlog, which takes a while to load, is there if somebody may warn.
    """
    if structlog := sys.modules.get("structlog"):
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _end_on_sigterm(exit_code: int) -> None:
    """Until a command handles signals itself, SIGTERM ends it in order, so that nothing stays; a
    terminal that closes does too, where nohup does not stand against it.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(exit_code)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, leave)
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
            signal.signal(signal.SIGHUP, leave)


def _refused(error: Exception, exit_code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return exit_code
