"""Every setting of the program: flags win, then the environment, then the file, then the default.

`BACKFILL_*` names ours, `CLICKHOUSE_*` the store's. `.env.local` and `.env` of the working folder
count as environment. The file is `config/backfill.toml`, or what `--config` or `BACKFILL_CONFIG`
name; a key in it that no setting has is refused, so that a misspelt one cannot be ignored.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
import pydantic
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from polybackfill import errors, guess, redaction, server_url

DEFAULT_FILE = Path("config/backfill.toml")
ENV_FILES = (".env", ".env.local")

S = TypeVar("S", bound=BaseSettings)

# Type of an error of pydantic → what the value must be instead.
_DEMANDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "of the pattern {pattern}",
}


class ClickHouseSettings(BaseSettings):
    """Where the rows go. Without a host the embedded store under the data folder is used."""

    model_config = SettingsConfigDict(env_prefix="CLICKHOUSE_", extra="ignore")

    host: str | None = pydantic.Field(None, description="Server; empty selects the embedded store.")
    port: int | None = pydantic.Field(
        None, ge=1, le=65535, description="HTTP port; 8443 with TLS and 8123 without by default."
    )
    user: str = pydantic.Field("default", description="User of the server.")
    password: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""), description="Its password; never logged."
    )
    database: str = pydantic.Field("default", description="Database that holds the tables.")
    secure: bool | None = pydantic.Field(
        None, description="TLS; by default on exactly when the port is 8443."
    )
    cluster: str | None = pydantic.Field(
        None,
        description="Name of a ClickHouse cluster: replicas of one store, whose tables are made ON "
        "CLUSTER, or several servers with a share of the rows each.",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _host_may_say_more(cls, given: Any) -> Any:
        return server_url.merged(given) if isinstance(given, dict) else given

    @pydantic.field_validator("host", "cluster")
    @classmethod
    def _empty_is_none(cls, text: str | None) -> str | None:
        return text or None


class BackfillSettings(BaseSettings):
    """How the program works."""

    model_config = SettingsConfigDict(env_prefix="BACKFILL_", extra="ignore")

    data_url: redaction.Url = pydantic.Field(
        redaction.Url("https://data-api.polymarket.com"), description="Data API host."
    )
    gamma_url: redaction.Url = pydantic.Field(
        redaction.Url("https://gamma-api.polymarket.com"), description="Gamma API host."
    )
    clob_url: redaction.Url = pydantic.Field(
        redaction.Url("https://clob.polymarket.com"), description="CLOB API host."
    )
    data_dir: Path = pydantic.Field(
        Path("data"), description="Folder of everything a run writes, except the checkpoint."
    )
    checkpoint_dir: Path = pydantic.Field(
        Path("checkpoints"),
        description="Folder of the checkpoints of all runs; inside `data_dir` if only that is set.",
    )
    run_name: str = pydantic.Field(
        "main",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Folder of this run's checkpoint; in a job by default the name of the host.",
    )
    job: str = pydantic.Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="Job that several daemons share, on a server with a Keeper "
        "(docs/several-hosts.md); without it one daemon works alone.",
    )
    job_shards: int = pydantic.Field(
        256, ge=1, le=4096, description="Into how many parts the keys of a job are divided."
    )
    job_slices: int = pydantic.Field(
        16,
        ge=1,
        le=256,
        description="Slices that the fills are cut into; one daemon at a time inserts into one.",
    )
    job_lease_s: float = pydantic.Field(
        60.0, ge=3, description="A daemon of a job that is silent for so long is taken over."
    )
    workers: int | Literal["auto"] = pydantic.Field(
        "auto", description="Workers for each part; auto: the budget times the observed latency."
    )
    limit: int | None = pydantic.Field(
        None, ge=1, description="At most this many wallets or conditions in one run."
    )
    skip: int = pydantic.Field(0, ge=0, description="Pass over so many pending keys.")
    sleep_ms: int = pydantic.Field(
        0,
        ge=0,
        description="Start a wallet every so many ms: 5000, 2000, 1000 = 12, 30, 60 a minute.",
    )
    share: float = pydantic.Field(
        1.0,
        gt=0,
        le=1,
        description="Share of its address's published limits that this host may use.",
    )
    source_address: str | None = pydantic.Field(
        None,
        description="Address of this machine from which the API is asked, where it has several.",
    )
    limits: dict[str, int] = pydantic.Field(
        default_factory=dict,
        description="Requests per 10 s by budget, below the published figure.",
    )
    request_deadline_s: float = pydantic.Field(
        60.0, gt=0, description="Total time of one request, body included."
    )
    page_attempts: int = pydantic.Field(
        8, ge=1, description="Tries of a page before it is given back."
    )
    max_attempts: int = pydantic.Field(5, ge=1, description="Tries of one unit before `error`.")
    host_pause_s: float = pydantic.Field(
        90.0, gt=0, description="Pause of a host after a refusal without Retry-After."
    )
    backoff_cap_s: float = pydantic.Field(60.0, gt=0, description="Longest back-off of one page.")
    stall_s: float = pydantic.Field(
        120.0, gt=0, description="A worker without progress for so long is replaced."
    )
    no_progress_s: float = pydantic.Field(
        1800.0, gt=0, description="The run ends after this long without any progress."
    )
    grace_s: float = pydantic.Field(30.0, gt=0, description="Time to end after SIGTERM.")
    batch_rows: int = pydantic.Field(50_000, ge=1, le=200_000, description="Rows of one insert.")
    batch_bytes: int = pydantic.Field(32_000_000, ge=1, description="Bytes of one insert.")
    batch_age_s: float = pydantic.Field(5.0, gt=0, description="Longest wait for an insert.")
    buffer_bytes: int = pydantic.Field(
        64_000_000, ge=1, description="Bytes held before workers wait for the store."
    )
    plan_refresh_s: float = pydantic.Field(
        5.0, gt=0, le=10, description="Longest delay of a status in the plan tables."
    )
    progress_every: int = pydantic.Field(
        10, ge=1, description="Log a line of progress after so many finished wallets or conditions."
    )
    fold_every: int = pydantic.Field(
        500, ge=1, description="Compact the checkpoint after this many finished units."
    )
    reports: bool = pydantic.Field(
        True,
        description="A whole run ends with dimensions, P&L, watchlist, and its reports.",
    )
    official_wallets: int = pydantic.Field(
        1000,
        ge=0,
        description="Read Polymarket's own profit figure of this many wallets, from the top of the "
        "plan.",
    )
    follow_window_s: float = pydantic.Field(
        6.0, gt=0, le=3600, description="A run that follows reads new trades this often."
    )
    follow_overlap_s: int = pydantic.Field(
        60,
        ge=0,
        le=3600,
        description="Every reading of new trades begins so long before the end of the one before, "
        "for rows that come late; one every ten minutes, hour and day reaches further back.",
    )
    follow_round_s: float = pydantic.Field(
        900.0,
        gt=0,
        description="It reads this often what else may have changed: markets and wallets with "
        "news, the wallets at the top of the plan, resolutions, lookups.",
    )
    follow_lists_s: float = pydantic.Field(
        86_400.0, gt=0, description="It reads whole lists of markets and events anew this often."
    )
    follow_wallets: int = pydantic.Field(
        1000,
        ge=0,
        description="Of so many wallets, from the top of the plan, each round reads activity, "
        "positions and Polymarket's own figure.",
    )
    probe: Literal["daily", "always", "never"] = pydantic.Field(
        "daily",
        description="Check the API before a run: once a day unless it is on this machine, before "
        "every run, or never.",
    )
    inflated_sources: list[str] = pydantic.Field(
        default_factory=lambda: ["goldsky"],
        description="Sources of internal trades whose shares are 128 times too large.",
    )
    log_file: Path | None = pydantic.Field(None, description="JSON log; default: data_dir/log/.")
    log_level: Literal["debug", "info", "warning", "error"] = pydantic.Field(
        "info", description="Lowest level logged."
    )
    min_free_bytes: int = pydantic.Field(
        500_000_000,
        ge=0,
        description="A run stops cleanly when its data disk has fewer free bytes; a tenth is "
        "enough for the checkpoint's disk, and for the data disk when a server holds the tables.",
    )
    log_bytes: int = pydantic.Field(
        32_000_000, ge=10_000, description="Bytes of one log file, before it is rotated."
    )
    log_files: int = pydantic.Field(
        5, ge=1, le=1000, description="Files of one log, the full ones included."
    )
    uvloop: bool = pydantic.Field(True, description="Use uvloop where it is installed.")
    listen: str | None = pydantic.Field(
        None,
        description="`[HOST:]PORT` at which a run serves health, metrics and status; off without "
        "it (docs/monitoring.md).",
    )
    listen_token: pydantic.SecretStr = pydantic.Field(
        pydantic.SecretStr(""),
        description="Token for all but its health; needed beyond 127.0.0.1. Without one each run "
        "makes its own, in data_dir/status/.",
    )
    alert_url: redaction.Url | None = pydantic.Field(
        None,
        description="Where alerts are posted as JSON: Slack, Discord, Telegram, ntfy, or a server "
        "of one's own (docs/monitoring.md).",
    )
    alert_form: Literal["auto", "plain", "slack", "discord", "telegram", "ntfy"] = pydantic.Field(
        "auto", description="Form of the alerts; auto: by the host of `alert_url`, else plain."
    )
    alert_stall_s: float = pydantic.Field(
        600.0, gt=0, description="An alert when nothing has moved for so long."
    )
    alert_errors: int = pydantic.Field(
        50, ge=1, description="An alert when a run has so many more units in error."
    )
    ping_url: redaction.Url | None = pydantic.Field(
        None,
        description="Called after a night that is proven good, and else never: a dead-man switch.",
    )

    @pydantic.field_validator("data_dir", "checkpoint_dir", "log_file")
    @classmethod
    def _is_text(cls, path: Path | None) -> Path | None:
        """The engine, the status and the logs know a path as text, from the root on."""
        whole = os.path.abspath(path) if path is not None else ""
        for character in whole:
            if "\udc80" <= character <= "\udcff":  # how Python shows a byte that is no UTF-8
                shown = whole.encode(errors="backslashreplace").decode().replace("\\udc", "\\x")
                raise ValueError(
                    f"the path {shown} holds the byte 0x{ord(character) - 0xDC00:02x}, which is no "
                    "UTF-8: rename that folder, or choose another one"
                )
        return path

    @pydantic.field_validator("source_address")
    @classmethod
    def _is_address(cls, given: str | None) -> str | None:
        if given:
            ipaddress.ip_address(given)
        return given or None

    @pydantic.field_validator("listen", "alert_url", "ping_url", mode="before")
    @classmethod
    def _empty_is_off(cls, given: object) -> object:
        return given or None

    @pydantic.field_validator("workers")
    @classmethod
    def _workers_positive(cls, workers: int | str) -> int | str:
        if isinstance(workers, int) and workers < 1:
            raise ValueError("must be at least 1, or auto")
        return workers

    @pydantic.field_validator("limits")
    @classmethod
    def _limits_positive(cls, limits: dict[str, int]) -> dict[str, int]:
        for name, requests in limits.items():
            if requests < 1:
                raise ValueError(
                    f"{name} = {requests}: a limit must be at least 1 request per 10 s"
                )
        return limits


class WatchlistSettings(BaseSettings):
    """What `watchlist auto` may do; the names in the environment are those of the seed."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore")

    autonomous_trading_enabled: str = pydantic.Field(
        "", description="Kill switch: markets are added automatically only if it is exactly true."
    )
    default_market_id: str = pydantic.Field(
        "", description="Market to watch while no wallet has a known profit."
    )
    default_condition_ids: str = pydantic.Field(
        "", description="Condition ids, separated by commas, for the same case."
    )
    fallback_watchlist_size: int = pydantic.Field(
        10, ge=1, description="At most this many of them."
    )


class Settings(pydantic.BaseModel):
    """The settings in force, where each came from, and names that look like one and are none."""

    backfill: BackfillSettings
    clickhouse: ClickHouseSettings
    watchlist: WatchlistSettings
    origins: dict[str, str]
    unknown: tuple[str, ...]

    @property
    def checkpoint_path(self) -> Path:
        """Folder of this run's checkpoint."""
        return self.backfill.checkpoint_dir / self.backfill.run_name


def load(
    flags: dict[str, Any] | None = None, file: Path | None = None, *, server: str | None = None
) -> Settings:
    """Put the sources together, with absolute folders; `flags`: what was typed, by setting name;
    `server`: a typed CLICKHOUSE_HOST.

    Raises errors.Stop (exit 78) naming the setting, its value, its origin and the remedy.
    """
    path = _file(file)
    tables = _read_file(path)
    origins: dict[str, str] = {}
    backfill = _build(BackfillSettings, tables.get("backfill", {}), flags or {}, path, origins)
    typed = {} if server is None else {"host": server}
    clickhouse = _build(ClickHouseSettings, tables.get("clickhouse", {}), typed, path, origins)
    watchlist = _build(WatchlistSettings, tables.get("watchlist", {}), {}, path, origins)
    redaction.remember([clickhouse.password.get_secret_value()])
    redaction.remember([backfill.listen_token.get_secret_value()])
    redaction.remember_proxies()
    return Settings(
        backfill=_placed(backfill, origins),
        clickhouse=clickhouse,
        watchlist=watchlist,
        origins=origins,
        unknown=tuple(_unknown_names()),
    )


def _placed(backfill: BackfillSettings, origins: dict[str, str]) -> BackfillSettings:
    """With absolute folders, and the checkpoint in the data folder where only that one is set, so
    that a command finds both wherever it is typed.
    """
    checkpoint_dir = backfill.checkpoint_dir
    if "BACKFILL_DATA_DIR" in origins and "BACKFILL_CHECKPOINT_DIR" not in origins:
        checkpoint_dir = backfill.data_dir / checkpoint_dir
    run_name = backfill.run_name
    if backfill.job and "BACKFILL_RUN_NAME" not in origins:
        run_name = _name_of_host(backfill.source_address)
    return backfill.model_copy(
        update={
            "run_name": run_name,
            "data_dir": backfill.data_dir.absolute(),
            "checkpoint_dir": checkpoint_dir.absolute(),
        }
    )


def _name_of_host(source_address: str | None) -> str:
    """What tells a daemon of a job from the others, unless it is given a name."""
    named = "-".join(filter(None, (socket.gethostname(), source_address)))
    return re.sub(r"[^A-Za-z0-9._-]", "-", named)[:64]


def _file(named: Path | None) -> Path | None:
    text = os.environ.get("BACKFILL_CONFIG")
    path = named or (Path(text) if text else None)
    if path is not None and not path.is_file():
        raise errors.Stop(
            f"settings file {path} does not exist: correct --config or BACKFILL_CONFIG"
        )
    return path or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def _read_file(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise errors.Stop(f"settings file {path} cannot be read: {error}") from error
    models: dict[str, type[BaseSettings]] = {
        "backfill": BackfillSettings,
        "clickhouse": ClickHouseSettings,
        "watchlist": WatchlistSettings,
    }
    known = {name: list(model.model_fields) for name, model in models.items()}
    for table, keys in tables.items():
        if table not in known or not isinstance(keys, dict):
            raise errors.Stop(_unknown(path, table, list(known), "table"))
        for key in keys:
            if key not in known[table]:
                raise errors.Stop(_unknown(path, f"{table}.{key}", known[table]))
    return tables


def _unknown(path: Path, name: str, known: list[str], what: str = "setting") -> str:
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"settings file {path}: unknown {what} {name}; {hint}"


def _build(
    model: type[S],
    table: dict[str, Any],
    flags: dict[str, Any],
    path: Path | None,
    origins: dict[str, str],
) -> S:
    prefix = str(model.model_config.get("env_prefix"))
    sources: list[tuple[str, PydanticBaseSettingsSource]] = [
        ("flag", InitSettingsSource(model, flags)),
        ("environment", EnvSettingsSource(model)),
        (".env files", DotEnvSettingsSource(model, env_file=ENV_FILES)),
        (str(path), InitSettingsSource(model, table)),
    ]
    merged: dict[str, Any] = {}
    for origin, source in sources:
        for name, value in _known(model, source).items():
            if name not in merged:
                merged[name] = value
                origins[f"{prefix}{name.upper()}"] = origin
    try:
        return model.model_validate(merged)
    except pydantic.ValidationError as error:
        raise errors.Stop(_explain(error, prefix, origins)) from error


def _unknown_names() -> Iterator[str]:
    """What the environment and the .env files hold in our name and nobody reads, with a guess.

    Other programs have settings of ClickHouse too: of those only what comes near one of ours.
    """
    known = {"backfill_config", *(f"backfill_{name}" for name in BackfillSettings.model_fields)}
    known |= {f"clickhouse_{name}" for name in ClickHouseSettings.model_fields}
    names_given = {
        **DotEnvSettingsSource(BackfillSettings, env_file=ENV_FILES).env_vars,
        **os.environ,
    }
    for name in sorted({name.lower() for name in names_given} - known):
        prefix = name.split("_", 1)[0] + "_"
        ours = [one.removeprefix(prefix) for one in known if one.startswith(prefix)]
        near = difflib.get_close_matches(name.removeprefix(prefix), ours, n=1)
        if near:
            guess = f"{prefix}{near[0]}".upper()
            yield f"{name.upper()} is no setting; did you mean {guess}?"
        elif prefix == "backfill_":
            yield f"{name.upper()} is no setting; polybackfill doctor --json lists them"


def _known(model: type[BaseSettings], source: PydanticBaseSettingsSource) -> dict[str, Any]:
    try:
        values = source()
    except SettingsError as error:
        raise errors.Stop(_not_json(model, error)) from error
    return {name: value for name, value in values.items() if name in model.model_fields}


def _not_json(model: type[BaseSettings], error: SettingsError) -> str:
    """A list or a mapping in the environment is JSON; the error names its field in words alone."""
    prefix = str(model.model_config.get("env_prefix"))
    name = next((name for name in model.model_fields if f'"{name}"' in str(error)), None)
    if name is None:
        return f"{prefix}*: {error}"
    as_is = orjson.dumps(model.model_fields[name].get_default(call_default_factory=True)).decode()
    return f"{prefix}{name.upper()} is not the JSON it has to be; its default is {as_is}"


def _explain(error: pydantic.ValidationError, prefix: str, origins: dict[str, str]) -> str:
    problems = []
    for problem in error.errors(include_url=False):
        if not problem["loc"]:  # of several settings together
            problems.append(redaction.redact(problem["msg"].removeprefix("Value error, ")))
            continue
        name = prefix + str(problem["loc"][0]).upper()
        shown = _shown(name, problem["input"])
        known = re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))
        origin = origins.get(name, "default")
        option = str(problem["loc"][0]).replace("_", "-")
        what, remedy = (f"--{option} ", "; or leave it out") if origin == "flag" else ("", "")
        problems.append(
            f"{name} = {shown} (from {origin}): {what}{_demand(problem)}{remedy}"
            f"{guess.near(str(problem['input']), known)}"
        )
    return "; ".join(problems)


def _demand(problem: ErrorDetails) -> str:
    """What the value must be, in words that say nothing of the library that checks it."""
    bounds = problem.get("ctx", {})
    demand = _DEMANDS.get(problem["type"])
    if demand is not None:
        return f"must be {demand.format(**bounds)}"
    return problem["msg"].removeprefix("Value error, ")


def _shown(name: str, given: object) -> str:
    """What was given, as far as it may be seen."""
    if "PASSWORD" in name or "TOKEN" in name:
        return "…"
    if name.endswith("_URL") or name == "CLICKHOUSE_HOST":
        redaction.remember(redaction.secrets_of(str(given)))
        return repr(redaction.shown(str(given)))
    return repr(given)
