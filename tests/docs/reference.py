"""Writes what can be read off the program: the files in config/, docs/settings.md, commands.md,
metrics.md.

Of docs/probe.md and docs/design.md it writes the part between two marks, and leaves the rest.

Without --write it only compares, names the files that are out of date, and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import layers
import pydantic
from pydantic_settings import BaseSettings

from polybackfill import cli, redaction, settings
from polybackfill.monitoring import metric_list
from polybackfill.probe import assumption_list, runner
from polybackfill.run import systemd

ROOT = Path(__file__).resolve().parents[2]
TABLES: dict[str, type[BaseSettings]] = {
    "backfill": settings.BackfillSettings,
    "clickhouse": settings.ClickHouseSettings,
    "watchlist": settings.WatchlistSettings,
}
# What to show for a setting that has no value of its own.
EXAMPLES = {
    "limit": "1000",
    "source_address": '"192.0.2.11"',
    "log_file": '"/var/log/polybackfill.jsonl"',
    "listen": '"9464"',
    "alert_url": '"https://ntfy.sh/a-topic-nobody-guesses"',
    "ping_url": '"https://hc-ping.com/your-uuid"',
    "host": '"localhost"',
    "port": "8123",
    "secure": "false",
    "cluster": '"main"',
}

TOML_HEAD = """\
# Every setting with its default; docs/settings.md is the same list as a table. Take the leading
# "# " away to change one. A flag wins over the environment, the environment over this file. A name
# that is not in this list is refused. Written by `make docs` from src/polybackfill/settings.py.
"""

SETTINGS_HEAD = """\
# Settings

Written by `make docs` from `src/polybackfill/settings.py`; a test fails when it is out of date.

A flag wins over the environment, the environment over `.env.local`, that over `.env`, that over the
file (`config/backfill.toml`, or what `--config` or `BACKFILL_CONFIG` names), that over the default.
`polybackfill doctor` prints what differs from its default and where it came from, `--json` every
value. Anything malformed ends the program with exit code 78 before something is written, and the
message names the setting, its value and where it came from. A name in the environment that looks
like one of these and is none is warned of.
"""

SETTINGS_COLUMNS = (
    "| in the file | in the environment | default | takes | meaning |",
    "|---|---|---|---|---|",
)

PROBE_BEGIN = "<!-- the list, written by make docs -->"
PROBE_END = "<!-- end of the list -->"
LAYERS_BEGIN = "<!-- the layers, written by make docs -->"
LAYERS_END = "<!-- end of the layers -->"
PROBE_COLUMNS = (
    "| name | request | expected | what stands on it | stops, when broken |",
    "|---|---|---|---|---|",
)

COMMANDS_HEAD = """\
# Commands

Written by `make docs` from the program's own help; a test fails when it is out of date.
"""


METRICS_HEAD = """\
# Metrics

Written by `make docs` from `src/polybackfill/monitoring/metric_list.py`; a test fails when it is
out of date. [Monitoring](monitoring.md) says how they are scraped.

A label takes its values from a list of the program: parts, tables, budgets, hosts, routes, disks.
The number of series does not grow with wallets or markets. A figure that nobody can tell at the
moment has no sample. Shares are ratios from 0 to 1, times are seconds, sizes are bytes.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def default_of(field: pydantic.fields.FieldInfo) -> Any:
    """The default as plain data: text, number, list, None."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, pydantic.SecretStr):
        return default.get_secret_value()
    return str(default) if isinstance(default, Path | redaction.Url) else default


def toml_value(value: Any) -> str:
    """`value` as TOML; JSON has the same scalars, an inline table differs by its `=`."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(name)} = {toml_value(v)}" for name, v in value.items())
        return f"{{{inner}}}"
    return json.dumps(value)


def toml_lines(model: type[BaseSettings]) -> Iterator[str]:
    """One commented setting after the other."""
    for name, field in model.model_fields.items():
        default = default_of(field)
        yield f"\n# {field.description}"
        if default is None:
            yield f"# {name} = {EXAMPLES[name]}  # an example; nothing is set by default"
        else:
            yield f"# {name} = {toml_value(default)}"


def toml_text() -> str:
    """config/backfill.toml"""
    lines = [TOML_HEAD.rstrip()]
    for table, model in TABLES.items():
        lines += ["", f"[{table}]", *toml_lines(model)]
    return re.sub(r"^(\[\w+\])\n\n#", r"\1\n#", "\n".join(lines), flags=re.MULTILINE) + "\n"


def accepts(schema: dict[str, Any]) -> str:
    """What a setting takes, from its JSON schema."""
    if "anyOf" in schema:
        options = [accepts(part) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(options)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    names = {
        "boolean": "true or false",
        "array": "list",
        "string": "text",
        "object": "table",
        "number": "number",
    }
    words = [names.get(schema["type"], schema["type"])]
    if schema.get("format") == "path":
        words = ["path"]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    if {"minimum", "maximum"} <= schema.keys():
        words[-1] += f", {schema['minimum']:g} to {schema['maximum']:g}"
    else:
        words += [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    if "pattern" in schema:
        words.append(f"`{schema['pattern']}`")
    return " ".join(words)


def settings_rows(model: type[BaseSettings]) -> Iterator[str]:
    """One table row a setting."""
    prefix = str(model.model_config.get("env_prefix"))
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        default = default_of(field)
        shown = "" if default in (None, "") else f"`{toml_value(default)}`"
        taken = accepts(properties[name]).replace("|", "\\|")
        yield f"| `{name}` | `{prefix}{name.upper()}` | {shown} | {taken} | {field.description} |"


def settings_text() -> str:
    """docs/settings.md"""
    parts = [SETTINGS_HEAD]
    for table, model in TABLES.items():
        parts.append(f"## [{table}]\n\n{model.__doc__}\n")
        parts.append("\n".join([*SETTINGS_COLUMNS, *settings_rows(model)]) + "\n")
    return "\n".join(parts)


def subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every parser below `parser` that is a command of its own, in the order of the help."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups and parser.prog.count(" ") > 0:
        yield parser
    for group in groups:
        for child in dict.fromkeys(group.choices.values()):
            yield from subcommands(child)


def spelling(action: argparse.Action) -> str:
    """How an option or argument is typed."""
    metavar = action.metavar or ("|".join(map(str, action.choices)) if action.choices else None)
    name = metavar if isinstance(metavar, str) else action.dest.upper()
    if not action.option_strings:
        return {"*": f"[{name} …]", "?": f"[{name}]"}.get(str(action.nargs), name)
    value = "" if action.nargs == 0 else f" {name}"
    return ", ".join(f"{option}{value}" for option in action.option_strings)


def arguments(actions: list[argparse.Action], prog: str) -> Iterator[str]:
    """One line for each argument that a person may type."""
    for action in actions:
        if action.help is not argparse.SUPPRESS and "--help" not in action.option_strings:
            explained = (action.help or "") % {**vars(action), "prog": prog}
            yield f"- `{spelling(action)}`: {explained}"


def shared(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options that every command has: those of the group called `where`."""
    groups = [group for group in parser._action_groups if group.title == "where"]
    return [action for group in groups for action in group._group_actions]


def command_text(parser: argparse.ArgumentParser) -> str:
    """One command: what it does, what it takes, its example."""
    own = [action for action in parser._actions if action not in shared(parser)]
    lines = list(arguments(own, parser.prog))
    example = (parser.epilog or "").partition("example:")[2].strip()
    parts = [f"## {parser.prog}", (parser.description or "").strip(), "\n".join(lines)]
    return "\n\n".join([*filter(None, parts), f"```text\n{example}\n```"])


def commands_text() -> str:
    """docs/commands.md"""
    root = cli.build_parser()
    parsers = list(subcommands(root))
    everywhere = "\n".join(arguments(shared(parsers[0]), root.prog))
    parts = [
        COMMANDS_HEAD.rstrip(),
        f"Every command takes these as well:\n\n{everywhere}",
        f"```text\n{(root.epilog or '').strip()}\n```",
        *(command_text(parser) for parser in parsers),
    ]
    return "\n\n".join(parts) + "\n"


def replace_between(path: str, begin: str, end: str, written: str) -> str:
    """The text of a page with `written` between two marks. Raises ValueError without the marks."""
    text = (ROOT / path).read_text(encoding="utf-8")
    head, found_begin, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path} lacks {begin} … {end}")
    return f"{head}{begin}\n{written}\n{end}{tail}"


def probe_text() -> str:
    """docs/probe.md: the text around its table stays, the table is the list of the program."""
    rows = [
        f"| `{one.name}` | `{one.request}` | {one.expected} | {one.needed_for} | "
        f"{', '.join(one.kinds) if one.loses_rows else 'nothing'} |"
        for one in assumption_list.ASSUMPTIONS
    ]
    count = f"{len(rows)} assumptions, at most {runner.MAX_REQUESTS} requests:"
    table = "\n".join([count, "", *PROBE_COLUMNS, *rows])
    return replace_between("docs/probe.md", PROBE_BEGIN, PROBE_END, table)


def metrics_text() -> str:
    """docs/metrics.md"""
    rows = [
        f"| `{metric_list.PREFIX}{one.name}` | {one.kind} | "
        f"{', '.join(f'`{label}`' for label in one.labels)} | {one.meaning} |"
        for one in metric_list.METRICS
    ]
    return METRICS_HEAD + "\n".join(rows) + "\n"


def design_text() -> str:
    """docs/design.md: the diagram of the layers is the import rule of pyproject.toml."""
    return replace_between("docs/design.md", LAYERS_BEGIN, LAYERS_END, layers.layers_text())


GENERATED = {
    "docs/design.md": design_text,
    "docs/probe.md": probe_text,
    "config/backfill.toml": toml_text,
    "config/polybackfill.service": lambda: systemd.service_text(systemd.Service()),
    "config/polybackfill.timer": systemd.timer_text,
    "docs/settings.md": settings_text,
    "docs/commands.md": commands_text,
    "docs/metrics.md": metrics_text,
}


def main() -> int:
    """Write or compare; 1 when something was out of date and not written."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", action="store_true")
    write = options.parse_args().write
    stale = []
    for name, make in GENERATED.items():
        path, text = ROOT / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if write:
                path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'written' if write else 'out of date, run `make docs`'}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    sys.exit(main())
