"""The program as its user meets it: a sandbox, a folder of settings, daemons to start and to kill.

Everything here runs the real command in processes of its own. A wait names what it waits for and
has an end; nothing sleeps to let things settle.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import filelock
import psutil
from tests import forks, holds

from chdb_http import child_process, durable_files, endpoint_file
from polybackfill import redaction
from polybackfill.checkpoint import run_checkpoint
from polybackfill.checks import table_digest
from polybackfill.filesystem import lock
from polybackfill.polymarket import address, endpoints
from polybackfill.store import client

COMMAND = (sys.executable, "-m", "polybackfill")
POLL_S = 0.02
_ENGINE = "engine"  # the folder in a store's own that holds its tables
START_S = 60.0
_NO_SETTINGS: Mapping[str, str] = {}
_AS_ROWS = {**client.QUERY_SETTINGS, "default_format": "JSONEachRow"}
SAID = ".said"  # the folder of what commands print, in a ground's own

# The client's own pace is not what these tests look at; a sandbox on loopback may be asked faster.
NO_LIMITS = json.dumps(dict.fromkeys(endpoints.PUBLISHED, 1_000_000))

STATE = (
    f"SELECT 'trades' AS name, rows, digest FROM ({table_digest.TRADES}) "
    f"UNION ALL SELECT 'activity' AS name, rows, digest FROM ({table_digest.ACTIVITY}) "
    f"UNION ALL SELECT 'duplicates' AS name, count() AS rows, '' AS digest "
    f"FROM ({table_digest.DUPLICATES}) "
    "UNION ALL SELECT 'quarantine' AS name, count() AS rows, '' AS digest FROM quarantine"
)


KEYS = {
    "api_markets_staging": "condition_id",
    "api_events_staging": "event_id",
    "api_positions_staging": "(wallet_address, condition_id, outcome, asset_id)",
    "api_resolutions": "condition_id",
    "external_trades_raw": "external_trade_id",
    "wallet_activity_raw": "activity_id",
    "wallet_backfill_plan": "wallet_address",
    "condition_backfill_plan": "condition_id",
}


def until(
    met: Callable[[], Any], what: str, within_s: float = START_S, *, every_s: float = POLL_S
) -> Any:
    """The first true value of `met`; AssertionError naming `what` when it does not come in time.

    By default this is a wait and no promise: what must come soon, even on a loaded machine, names
    its `within_s`.
    """
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while True:
        value = met()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {within_s} s in vain for: {what}"
        pause.wait(every_s)


def ask(url: str, body: object = None) -> Any:
    """JSON from a local server; a `body` is posted."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=content)  # noqa: S310  (loopback)
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def expect(self, *codes: int) -> None:
        """It ended with one of these codes; AssertionError with what it said otherwise."""
        said = f"{self.out[-3000:]}\n{self.err[-6000:]}"
        assert self.code in codes, f"exit {self.code}, expected {codes}\n{said}"


@dataclass
class Sandbox:
    """A running local Polymarket."""

    url: str
    wallets: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def ask(self, path: str, body: object = None) -> Any:
        """One of its control routes."""
        return ask(f"{self.url}/_sandbox/{path}", body)

    def lines(self, path: str) -> list[dict[str, Any]]:
        """The JSON objects of one of its line by line exports."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/{path}", timeout=60) as answer:  # noqa: S310
            return [json.loads(line) for line in answer]

    def reset(self) -> None:
        """No faults, no limits, all counters zero."""
        self.faults()
        self.ask("stats/reset", {})

    def faults(self, *rules: dict[str, Any]) -> None:
        """These faults instead of the present ones."""
        self.ask("faults", {"replace": list(rules)})

    def fired(self) -> dict[str, int]:
        """How often each kind of fault hit."""
        counts: dict[str, int] = {}
        for rule in self.ask("faults"):
            counts[rule["kind"]] = counts.get(rule["kind"], 0) + rule["fired"]
        return counts

    def pages(self) -> int:
        """Pages of trades and activity served whole since the last reset."""
        routes = self.ask("stats")["routes"]
        return sum(
            routes.get(name, {"statuses": {}})["statuses"].get("200", 0)
            for name in ("trades", "activity")
        )

    def asked(self) -> dict[str, int]:
        """Requests by route since the last reset, but for how far the API lies behind, which a run
        asks once a minute.
        """
        routes = self.ask("stats")["routes"]
        return {name: route["requests"] for name, route in routes.items() if name != "status"}

    def requests(self) -> int:
        """Requests of any outcome since the last reset."""
        return sum(route["requests"] for route in self.ask("stats")["routes"].values())

    def truth(
        self, wallets: Sequence[str] | None = None, conditions: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """What these walks reach; all of them by default."""
        asked = {
            "wallets": self.wallets if wallets is None else list(wallets),
            "conditions": self.conditions if conditions is None else list(conditions),
        }
        found: dict[str, Any] = self.ask("truth", asked)
        return found


def true_tables(sandbox: Sandbox) -> dict[str, tuple[int, str]]:
    """What `Ground.tables` must be when everything is stored as it is now."""
    truth = sandbox.ask("truth")
    return {
        name: (truth[name].get("rows", truth[name].get("count")), truth[name]["digest"])
        for name in table_digest.TABLES
    }


@contextlib.contextmanager
def sandbox(
    *,
    trades: int,
    wallets: int = 60,
    markets: int = 60,
    seed: int = 1,
    latency_ms: float = 0.0,
    half: bool = False,
    now: int | None = None,
    replay: Path | None = None,
    money_cases: bool = False,
    grow_s: float = 0.0,
    late_rows: int = 0,
) -> Iterator[Sandbox]:
    """A sandbox without limits on a free port, ended afterwards.

    `half`: every other of its wallets and conditions is there to be asked for, so that a row one
    walk lost is not made up by another, and one that two walks deliver must be stored once.
    `now`: where what happens on request must be news to the program, which has the real clock.
    `replay`: a folder of recorded answers to serve instead. `money_cases`: with the wallets made
    for profit. `grow_s`: from a POST to `grow` on it goes on for so many seconds, and of the
    new trades `late_rows` are late.
    """
    command = [*COMMAND, "sandbox", "--port", "0", "--limits", "off"]
    command += ["--trades", str(trades), "--wallets", str(wallets), "--markets", str(markets)]
    command += ["--seed", str(seed), "--latency-ms", str(latency_ms)]
    command += [] if now is None else ["--now", str(now)]
    command += [] if replay is None else ["--replay", str(replay)]
    command += ["--money-cases"] if money_cases else []
    if grow_s:
        command += ["--grow", str(grow_s), "--grow-on-request", "--late-rows", str(late_rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "http://" in line, f"the sandbox did not start: {line!r}"
            running = Sandbox(line.split()[-1].rstrip("/"))
            ranked = running.ask("wallets?top=1000000")
            running.wallets = [row["wallet"] for row in ranked if not row["contract"]]
            ranked = running.ask("conditions?top=1000000")
            running.conditions = [row["condition_id"] for row in ranked]
            if half:
                special = set(running.ask("universe")["special"].values())
                running.wallets = _every_other(running.wallets, special)
                running.conditions = _every_other(running.conditions, special)
            yield running
        finally:
            process.kill()  # a request that hangs on purpose would hold up anything gentler


def _every_other(keys: list[str], always: set[str]) -> list[str]:
    return [key for number, key in enumerate(keys) if number % 2 == 0 or key in always]


@contextlib.contextmanager
def limits_spent(url: str) -> Iterator[None]:
    """Another process of this machine spends all the limits of the API at `url` meanwhile."""
    hosts = (redaction.Url(url).host_and_port,)
    who = lock.this_process(time.time(), "elsewhere")
    entry = address._enter(address.Spender(who=who, what="run", hosts=hosts, share=1.0))
    assert entry is not None
    try:
        yield
    finally:
        entry.leave()


class Daemon:
    """One running `polybackfill` process and what it has printed so far."""

    # None: each is a start of Python, which is what a benchmark measures.
    forks: ClassVar[forks.Forks | None] = None

    def __init__(
        self, words: Sequence[str], ground: Ground, number: int, driver: Path | None
    ) -> None:
        said = ground.folder / SAID
        said.mkdir(exist_ok=True)
        self._out, self._err = said / f"{number:03d}.out", said / f"{number:03d}.err"
        self.process = self._begin(words, ground, driver)
        self.pid = self.process.pid

    def _begin(
        self, words: Sequence[str], ground: Ground, driver: Path | None
    ) -> subprocess.Popen[bytes] | forks.Fork:
        environment = ground.environment
        if self.forks and driver is None and self.forks.takes(environment):
            return self.forks.start(words, environment, ground.folder, self._out, self._err)
        program = [sys.executable, str(driver)] if driver else list(COMMAND)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            return subprocess.Popen(
                [*program, *words], stdout=out, stderr=err, env=environment, cwd=ground.folder
            )

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for the kernel to finish it."""
        self.process.kill()
        self.process.wait(timeout=10)

    def end(self, within_s: float = 200.0) -> Finished:
        """Wait for its end; AssertionError with its stacks when it does not come."""
        try:
            code = self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGUSR1)  # all stacks to stderr
            threading.Event().wait(0.5)
            self.kill()
            said = f"{self.out()[-3000:]}\n{self.err()[-9000:]}"
            raise AssertionError(f"still running after {within_s} s\n{said}") from None
        return Finished(code, self.out(), self.err())

    def out(self) -> str:
        """Its standard output so far."""
        return self._out.read_text(errors="replace")

    def err(self) -> str:
        """Its standard error so far."""
        return self._err.read_text(errors="replace")


class PreparedStore:
    """The tables of an embedded store as `init` makes them, made once for all processes that share
    `folder`: a second of CPU and sixty syncs of the disk less for each test that copies them.
    """

    def __init__(self, folder: Path) -> None:
        self._made = folder / "prepared"
        self._lock = filelock.FileLock(folder / "prepared.lock")

    def copy_to(self, store: Path) -> None:
        """As if `init` had been run there; secret, port and log are made by the first start."""
        with self._lock:
            if not self._made.exists():
                self._make()
        durable_files.make_folder(store)
        shutil.copytree(self._made, store / _ENGINE, symlinks=True)

    def _make(self) -> None:
        draft = self._made.with_suffix(".draft")
        draft.mkdir()
        with ground(draft, "http://127.0.0.1:9") as making:
            making.run("init").expect(0)
            # In a thread of its own: the first test that asks for it may run in an event loop.
            with futures.ThreadPoolExecutor(1) as thread:
                ended = child_process.wait_until_ended(making.store)
                assert thread.submit(asyncio.run, ended).result()
            (making.store / _ENGINE).rename(self._made)


class Server(NamedTuple):
    """A ClickHouse server on this machine, with the password of its user `default`."""

    port: int
    password: str = ""
    host: str = "127.0.0.1"
    cluster: str = ""


class Ground:
    """A user's folder and settings; `start` and `run` execute the command there."""

    def __init__(self, folder: Path, url: str, **settings: object) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.checkpoints = folder / "checkpoints"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BACKFILL_", "CLICKHOUSE_"))
        }
        self._daemons: list[Daemon] = []
        self.set(
            data_url=f"{url}/data",
            gamma_url=f"{url}/gamma",
            clob_url=f"{url}/clob",
            data_dir=self.data,
            checkpoint_dir=self.checkpoints,
            limits=NO_LIMITS,
            workers=4,
            batch_age_s=0.2,
            host_pause_s=0.3,
            backoff_cap_s=0.3,
            request_deadline_s=2,
            page_attempts=12,
            max_attempts=12,
            reports="false",  # a second of each whole run
        )
        self.set(**settings)

    @property
    def checkpoint(self) -> Path:
        """The folder of the run's checkpoint."""
        return self.checkpoints / "main"

    @property
    def store(self) -> Path:
        """The folder of the embedded store."""
        return self.data / "clickhouse"

    def set(self, **settings: object) -> None:
        """Put settings into the environment of what is started from now on."""
        for name, value in settings.items():
            self.environment[f"BACKFILL_{name.upper()}"] = str(value)

    def write_keys(self, sandbox: Sandbox) -> list[str]:
        """Arguments of `run` that name every wallet and condition, as files."""
        files = []
        for flag, keys in (("--wallet", sandbox.wallets), ("--condition-id", sandbox.conditions)):
            file = self.folder / f"{flag.strip('-')}.txt"
            file.write_text("\n".join(keys) + "\n", encoding="utf-8")
            files += [flag, str(file)]
        return files

    def plan(self, sandbox: Sandbox) -> Finished:
        """Every wallet and condition into the plan tables."""
        file = self.folder / "plan.txt"
        file.write_text("\n".join([*sandbox.wallets, *sandbox.conditions]) + "\n")
        built = self.run("plan", "build", "--from", str(file))
        built.expect(0)
        return built

    def start(self, *words: str, driver: Path | None = None) -> Daemon:
        """Start the command; `driver`: a script that stands in for `-m polybackfill`."""
        daemon = Daemon(words, self, len(self._daemons), driver)
        self._daemons.append(daemon)
        return daemon

    def run(self, *words: str, driver: Path | None = None, within_s: float = 200.0) -> Finished:
        """Start the command and wait for its end."""
        return self.start(*words, driver=driver).end(within_s)

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """The rows of a statement, as the program would ask: from the store while it runs, which
        spares a start of the program; else by `polybackfill sql`, which opens it.
        """
        at_hand = "CLICKHOUSE_HOST" in self.environment or self.store_pid() is not None
        said = self.query(statement, _AS_ROWS) if at_hand else None
        if said is None:
            told = self.run("sql", statement, "--format", "JSONEachRow")
            told.expect(0)
            said = told.out
        return [json.loads(line) for line in said.splitlines()]

    def query(self, statement: str, settings: Mapping[str, str] = _NO_SETTINGS) -> str | None:
        """What the running store's HTTP port answers; None when it is not there just now."""
        address = self._address()
        if address is None:
            return None
        if "CLICKHOUSE_DATABASE" in self.environment:
            settings = {**settings, "database": self.environment["CLICKHOUSE_DATABASE"]}
        address += f"?{urllib.parse.urlencode(settings)}"
        content = statement.encode()
        try:
            request = urllib.request.Request(  # noqa: S310  (loopback)
                address, data=content, headers=self._login()
            )
            with urllib.request.urlopen(request, timeout=START_S) as answer:  # noqa: S310
                text: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{statement}: {error.read().decode()}") from error
        except OSError:
            return None
        return text

    def _address(self) -> str | None:
        if "CLICKHOUSE_HOST" in self.environment:
            names = ("CLICKHOUSE_HOST", "CLICKHOUSE_PORT")
            host, port = (self.environment[name] for name in names)
            return f"http://{host}:{port}/"
        endpoint = endpoint_file.read(self.store)
        return None if endpoint is None else f"http://{endpoint.host}:{endpoint.port}/"

    def _login(self) -> dict[str, str]:
        if "CLICKHOUSE_HOST" in self.environment:
            password = self.environment.get("CLICKHOUSE_PASSWORD", "")
            return {"X-ClickHouse-User": "default", "X-ClickHouse-Key": password}
        return holds.login(self.store)

    def use_server(self, server: Server | int, database: str) -> None:
        """Let the rows go to a server that runs already, into a database of their own."""
        if isinstance(server, int):
            server = Server(server)
        self.environment |= {
            "CLICKHOUSE_HOST": server.host,
            "CLICKHOUSE_PORT": str(server.port),
            "CLICKHOUSE_PASSWORD": server.password,
            "CLICKHOUSE_DATABASE": database,
            "CLICKHOUSE_CLUSTER": server.cluster,
        }

    def serve(self) -> Server:
        """Keep the embedded store open for others."""
        serving = self.start("db", "serve")
        until(lambda: "ready" in serving.out(), "the store")
        endpoint = endpoint_file.read(self.store)
        assert endpoint is not None
        return Server(endpoint.port, holds.password_of(self.store))

    def duplicates(self) -> int | None:
        """Ids stored more than once, by a plain SELECT; None when the store is not there."""
        text = self.query(f"SELECT count() FROM ({table_digest.DUPLICATES})")
        return None if text is None else int(text)

    def state(self) -> dict[str, dict[str, Any]]:
        """Rows and digests by name: trades, activity, duplicates, quarantine."""
        return {row["name"]: row for row in self.sql(STATE)}

    def prove(
        self,
        sandbox: Sandbox,
        wallets: Sequence[str] | None = None,
        conditions: Sequence[str] | None = None,
    ) -> None:
        """The tables hold exactly what the walks reach, and every row once."""
        truth, state = sandbox.truth(wallets, conditions), self.state()
        for name in ("trades", "activity"):
            expected = {"name": name, **{key: truth[name][key] for key in ("rows", "digest")}}
            assert state[name] == expected, f"{state[name]} {expected}"
        assert state["duplicates"]["rows"] == 0

    def tables(self) -> dict[str, tuple[int, str]]:
        """Rows and digest of each table the sandbox knows the truth of."""
        parts = (
            f"SELECT '{name}' AS name, * FROM ({sql})" for name, sql in table_digest.TABLES.items()
        )
        return {
            row["name"]: (row["rows"], row["digest"]) for row in self.sql(" UNION ALL ".join(parts))
        }

    def prove_tables(self, sandbox: Sandbox) -> None:
        """Every table holds what the sandbox has, no key twice to a plain SELECT, plans done."""
        stored, truth = self.tables(), true_tables(sandbox)
        assert stored == truth, f"stored {stored}, in truth {truth}"
        repeated = (
            f"SELECT '{table}' AS name, count() AS n FROM "
            f"(SELECT {key} AS k FROM {table} GROUP BY k HAVING count() > 1)"
            for table, key in KEYS.items()
        )
        pending = (
            f"SELECT '{table}, not done' AS name, count() AS n FROM {table} WHERE status != 'done'"
            for table in ("wallet_backfill_plan", "condition_backfill_plan")
        )
        self._require_none(*repeated, *pending)

    def prove_everything(self, sandbox: Sandbox) -> None:
        """The same, every receipt in the store, and nothing open."""
        self.prove_tables(sandbox)
        state = run_checkpoint.Checkpoint.view(self.checkpoint)
        self._require_none(
            *(
                f"SELECT 'receipts of {kind}, unlike' AS name, "
                f"abs(toInt64(sum(length(keys))) - {total.keys})"
                f" + abs(toInt64(count()) - {total.units}) AS n FROM backfill_receipts"
                f" WHERE kind = '{kind}' AND run_name = '{state.run_name}'"
                for kind, total in state.totals().items()
            )
        )
        left = [(held.unit.id, held.in_flight, held.error) for held in state.open_units()]
        assert left == [], f"units left open: {left}"

    def _require_none(self, *counts: str) -> None:
        """Each statement counts what there must not be: a `name` and `n`."""
        if counts:
            wrong = [row for row in self.sql(" UNION ALL ".join(counts)) if row["n"]]
            assert wrong == [], f"more or less than there should be: {wrong}"

    def statuses(self) -> dict[str, int]:
        """Wallets of the plan by status."""
        rows = self.sql(
            "SELECT toString(status) AS status, count() AS n FROM wallet_backfill_plan "
            "GROUP BY status"
        )
        return {row["status"]: row["n"] for row in rows}

    def store_pid(self) -> int | None:
        """The process that serves the embedded store, None when there is none."""
        endpoint = endpoint_file.read(self.store)
        if endpoint is None or endpoint.pid is None:
            return None
        # A killed store leaves its number behind, which may be another process's by now.
        try:
            words = psutil.Process(endpoint.pid).cmdline()
        except psutil.Error:
            return None
        return endpoint.pid if str(self.store) in words else None

    def status(self) -> dict[str, Any] | None:
        """The newest picture of the run."""
        try:
            picture: dict[str, Any] = json.loads((self.data / "status" / "main.json").read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return picture

    def acknowledged_pages(self) -> int:
        """Pages whose rows are stored and recorded, by the checkpoint."""
        book = run_checkpoint.Checkpoint.view(self.checkpoint)
        done = sum(totals.pages for totals in book.totals().values())
        held = (*book.open_units(), *book.failed_units())
        return done + sum(one.counts.pages for one in held)

    def open_units(self) -> int:
        """Units that were begun and have not ended, by the checkpoint."""
        return len(run_checkpoint.Checkpoint.view(self.checkpoint).open_units())

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of that name in the JSON log."""
        file = self.data / "log" / "main.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        parsed = [json.loads(line) for line in lines]
        return [event for event in parsed if event["event"] == name]

    def close(self) -> None:
        """End what this ground has started, the store's child included."""
        for daemon in self._daemons:
            if daemon.running:
                daemon.kill()
        pid = self.store_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def ground(
    folder: Path, url: str, *, prepared: PreparedStore | None = None, **settings: object
) -> Iterator[Ground]:
    """A ground that leaves no process behind. `prepared`: with the tables of its store, as after
    `init`; else nobody has made one yet.
    """
    made = Ground(folder, url, **settings)
    if prepared is not None:
        prepared.copy_to(made.store)
    try:
        yield made
    finally:
        made.close()
