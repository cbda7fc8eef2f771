"""The progress line in a real terminal: tmux at several widths, while runs of three kinds go on."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests import harness

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed: the screens were not looked at"
)

# share · time left · rows/s · requests/s
HEAD = re.compile(r"^(\S+ %|share …)  ETA .*?  [\d,.]+ rows/s  [\d,.]+ requests/s")
KNOWN = re.compile(r"^<?[\d.]+ %  ETA \d")


class Terminal:
    """One tmux server with one window, in which the program runs."""

    def __init__(self, socket: Path, columns: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._columns = columns
        self._shell: psutil.Process | None = None

    def run(self, ground: harness.Ground, *words: str) -> None:
        """Start a command; the screen stays when it has ended."""
        typed = shlex.join([*harness.COMMAND, *words])
        place = shlex.quote(str(ground.folder))
        window = ["new-session", "-d", "-x", str(self._columns), "-y", "30"]
        ended = subprocess.run(
            [*self._tmux, *window, f"cd {place}; {typed}; echo ended: $?; sleep 600"],
            env={**ground.environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        self._shell = psutil.Process(int(self._do("list-panes", "-F", "#{pane_pid}")))

    def resize(self, columns: int) -> None:
        """As if its user drew at the window."""
        self._columns = columns
        self._do("resize-window", "-x", str(columns), "-y", "30")

    def lines(self) -> list[str]:
        """What is seen, without the empty lines below."""
        return self._do("capture-pane", "-p").rstrip("\n").split("\n")

    def close(self) -> None:
        """Pull the plug on everything in it, the store's child left out, which ends by itself."""
        if self._shell is not None:
            for process in self._shell.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "chdb_http" not in process.cmdline():
                        process.kill()
                        process.wait(10)
            self._shell = None
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _do(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=True
        ).stdout

    def progress(self) -> str:
        """The one progress line, the last of the screen, complete in every width.

        Empty while there is none, and between a change of the width and the next drawing.
        """
        found = self.bottom()
        assert not found or HEAD.match(found), found
        return found

    def bottom(self) -> str:
        """The same where the terminal is too narrow for all that should stand in it."""
        lines = self.lines()
        found = [line for line in lines if " rows/s" in line]
        if len(found) != 1 or found != lines[-1:] or len(found[0]) >= self._columns:
            return ""
        return found[0]


@pytest.fixture
def place(sandbox: harness.Sandbox, prepared: harness.PreparedStore) -> Iterator[harness.Ground]:
    """A user's folder."""
    with (
        tempfile.TemporaryDirectory(prefix="screens-") as folder,
        harness.ground(
            Path(folder), sandbox.url, prepared=prepared, sleep_ms=150, batch_age_s=1
        ) as ground,
    ):
        sandbox.reset()
        yield ground


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[list[Terminal]]:
    """Terminals that are closed afterwards."""
    made: list[Terminal] = []
    yield made
    for terminal in made:
        terminal.close()


def opened(terminals: list[Terminal], columns: int) -> Terminal:
    """One more."""
    folder = Path(tempfile.mkdtemp(prefix="tmux-"))  # a socket's path must be short
    terminals.append(Terminal(folder / "s", columns))
    return terminals[-1]


def told(terminal: Terminal, columns: int) -> str:
    """A line with share and time left at this width."""
    terminal.resize(columns)

    def line() -> str:
        found = terminal.progress()
        return found if KNOWN.match(found) else ""

    return str(harness.until(line, f"one whole line in {columns} columns", 60.0, every_s=0.1))


def test_fresh_and_resumed_runs(
    place: harness.Ground, sandbox: harness.Sandbox, terminals: list[Terminal]
) -> None:
    for number in range(2):
        terminal = opened(terminals, 120)
        terminal.run(place, "run")
        wide = told(terminal, 120)
        assert re.search(r"\d parts? done|/\d", wide), "the parts with work stand behind"
        for columns in (60, 80, 120):
            told(terminal, columns)
        if number == 0:  # cut off in the middle: a resumed run is next
            terminal.close()
            harness.until(lambda: place.store_pid() is None, "the end of the first run", 60.0)


def test_a_limited_run_of_a_plan_and_its_end(
    place: harness.Ground, sandbox: harness.Sandbox, terminals: list[Terminal]
) -> None:
    place.plan(sandbox)
    terminal = opened(terminals, 60)
    terminal.run(place, "run", "wallets", "--limit", "40")
    for columns in (60, 80, 120, 60):
        told(terminal, columns)
    terminal.resize(40)
    harness.until(terminal.bottom, "one line in 40 columns")
    terminal.resize(60)
    harness.until(lambda: "ended: 0" in terminal.lines()[-1], "the end", 60.0)
    lines = terminal.lines()
    assert not any(" rows/s" in line for line in lines), f"not gone with the run: {lines}"
    assert any(re.match(r"finished after \d+ s: [\d,]+ rows", line) for line in lines)
    assert "  wallets     40 of 40 proven complete" in lines
