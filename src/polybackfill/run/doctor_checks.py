"""What `doctor` and `support-bundle` look at before a run: all that a run stands on."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import pydantic

from polybackfill import clocks, errors, settings, worker_progress
from polybackfill.checkpoint import run_checkpoint
from polybackfill.filesystem import lock
from polybackfill.kinds import key_source, registry
from polybackfill.kinds import kind as unit_kind
from polybackfill.polymarket import endpoints, proxies
from polybackfill.run import api_client, bootstrap, disk_space, run_estimate
from polybackfill.store import migrate

_UPSTREAM_S = 15.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `exit_code`: 0 when it is in order."""

    check: str
    text: str
    exit_code: int = errors.EXIT_OK


async def examine(
    chosen: settings.Settings, *, make_store: bool = True, ask_api: bool = True
) -> list[Finding]:
    """Everything a run stands on, but for what the API means by its answers.

    `make_store`: an embedded store that is not there yet is made.
    """
    return [
        _versions(),
        _folders(chosen),
        await _checked("disk", lambda: _disk(chosen, make=make_store)),
        await _checked("store", lambda: _store(chosen, make=make_store)),
        await _checked("checkpoint", lambda: _checkpoint(chosen)),
        *(await _upstream(chosen) if ask_api else ()),
    ]


async def _checked(check: str, look: Callable[[], Awaitable[str]], remedy: str = "") -> Finding:
    try:
        return Finding(check, await look())
    except errors.Stop as error:
        return Finding(check, f"{error}{remedy}", error.exit_code)
    except errors.BackfillError as error:
        return Finding(check, f"{error}{remedy}", errors.EXIT_UNAVAILABLE)


def _versions() -> Finding:
    names = ("polybackfill", "aiohttp", "aiochclient", "chdb-core", "orjson", "msgspec")
    installed = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return Finding("versions", f"Python {platform.python_version()}, {installed}")


def _folders(chosen: settings.Settings) -> Finding:
    try:
        bootstrap.make_folder(chosen.backfill.data_dir, "BACKFILL_DATA_DIR")
        bootstrap.make_folder(chosen.backfill.checkpoint_dir, "BACKFILL_CHECKPOINT_DIR")
    except errors.Stop as error:
        return Finding("folders", str(error), error.exit_code)
    places = (chosen.backfill.data_dir, chosen.backfill.checkpoint_dir)
    return Finding("folders", " and ".join(str(folder.resolve()) for folder in places))


async def _disk(chosen: settings.Settings, *, make: bool) -> str:
    """What is free, and whether what `run` would fetch fits in."""
    free = await asyncio.to_thread(disk_space.describe_free, chosen)
    with contextlib.suppress(errors.BackfillError):  # the next line says what is wrong with it
        if not make:
            bootstrap.require_store(chosen)
        bytes_ahead, is_all = await run_estimate.bytes_ahead(chosen)
        fits = "the expected rows fit" if is_all else "the size of the expected rows is unknown"
        return f"{free}; {disk_space.warning(chosen, bytes_ahead) or fits}"
    return free


async def _store(chosen: settings.Settings, *, make: bool) -> str:
    if not make:
        bootstrap.require_store(chosen)
    async with bootstrap.open_store(chosen) as store:
        version = (await store.rows("SELECT version() AS version"))[0]["version"]
        missing = await migrate.missing(store)
    servers = len(store.servers)
    kind = "embedded" if store.address.embedded else "server"
    kind = f"cluster of {servers} servers" if servers > 1 else kind
    if missing:
        raise errors.Stop(
            f"ClickHouse {version} ({kind}) at {store.address.location} "
            f"lacks {', '.join(missing)}; create them: polybackfill init"
        )
    return f"ClickHouse {version} ({kind}) at {store.address.location}, all tables there"


async def _checkpoint(chosen: settings.Settings) -> str:
    owner = lock.holder(chosen.checkpoint_path)
    state = f"held by {owner}" if owner else "free"
    if not chosen.checkpoint_path.exists():
        return f"{chosen.checkpoint_path}: none yet"
    stats = (
        await asyncio.to_thread(run_checkpoint.Checkpoint.view, chosen.checkpoint_path)
    ).stats()
    done = ", ".join(f"{count:,} {kind}" for kind, count in stats["done_keys"].items())
    return f"{chosen.checkpoint_path}: {state}; finished: {done or 'none yet'}"


async def _upstream(chosen: settings.Settings) -> list[Finding]:
    """One request that any healthy host answers, to each host that a run asks; none beside a run,
    which leaves nothing of the limits.
    """
    if holder := api_client.limit_holder(chosen):
        return [Finding("upstream", f"not asked, {holder}")]
    clock, urls = clocks.SystemClock(), api_client.base_urls(chosen)
    questions: list[tuple[endpoints.Route, unit_kind.ProbeParams]] = [(endpoints.STATUS, ())]
    questions += [(kind.route, kind.probe_params) for kind in _one_list_of_each_host()]
    async with api_client.open_client(
        chosen, clock, deadline_s=_UPSTREAM_S, what="doctor"
    ) as client:

        async def answer(route: endpoints.Route, query: unit_kind.ProbeParams) -> str:
            response = await client.get(route, query, worker_progress.Progress(clock))
            proxy = proxies.find_proxy(urls[route.host])
            way = f" through the proxy {proxy}" if proxy is not None else ""
            return f"{urls[route.host]} answered in {response.ttfb_s * 1000:.0f} ms{way}"

        return await asyncio.gather(
            *(
                _checked(
                    f"upstream {route.host}",
                    partial(answer, route, query),
                    f": look at the network, or correct BACKFILL_{route.host.upper()}_URL",
                )
                for route, query in questions
            )
        )


def _one_list_of_each_host() -> list[unit_kind.Kind]:
    """One kind for each host beside the Data API, whose lists need no key."""
    by_host: dict[str, unit_kind.Kind] = {}
    for kind in reversed(registry.ALL):
        if isinstance(kind.keys, key_source.WholeList):
            by_host.setdefault(kind.route.host, kind)
    return list(by_host.values())


def effective(chosen: settings.Settings) -> dict[str, dict[str, str]]:
    """Setting → value and origin; secrets masked."""
    effective = {}
    for part in (chosen.backfill, chosen.clickhouse, chosen.watchlist):
        prefix = str(part.model_config.get("env_prefix"))
        for name in type(part).model_fields:
            value = getattr(part, name)
            shown = "…" if isinstance(value, pydantic.SecretStr) else str(value)
            key = f"{prefix}{name.upper()}"
            effective[key] = {"value": shown, "origin": chosen.origins.get(key, "default")}
    return effective
