"""The image, the service file and the compose file agree with the program they start."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from polybackfill import errors, settings

ROOT = Path(__file__).resolve().parents[2]
GRACE_S = settings.BackfillSettings.model_fields["grace_s"].default
KNOWN = {
    f"{model.model_config.get('env_prefix')}{name}".upper()
    for model in (
        settings.BackfillSettings,
        settings.ClickHouseSettings,
        settings.WatchlistSettings,
    )
    for name in model.model_fields
}


# As in an environment that was installed without the extra `sandbox`.
WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
"""
IMPORT_ALL = """
import importlib, pkgutil, polybackfill
names = [each.name for each in pkgutil.walk_packages(polybackfill.__path__, "polybackfill.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def seconds(text: str) -> float:
    """A duration as compose and systemd write it: 90s, 2m, 300."""
    number, unit = re.fullmatch(r"(\d+)([sm]?)", text).groups()
    return float(number) * (60 if unit == "m" else 1)


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and their words, continued lines put together, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    kept = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    joined = kept.replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines()]


def stages() -> list[dict[str, list[str]]]:
    """The stages of the image, each with the words of its instructions by name."""
    found: list[dict[str, list[str]]] = []
    for name, words in dockerfile():
        if name == "FROM":
            found.append({})
        if found:
            found[-1].setdefault(name, []).append(words)
    return found


def service() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(ROOT / "config" / "polybackfill.service", encoding="utf-8")
    return parser["Service"]


def compose(name: str = "compose.yml") -> dict:
    return yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))["services"]


def fetchers() -> dict:
    """The daemons of the job."""
    parts = compose("compose-job.yml").items()
    return {name: part for name, part in parts if name.startswith("fetcher-")}


def backfill_names(path: str) -> set[str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    return set(re.findall(r"\b(?:BACKFILL|CLICKHOUSE)_[A-Z_]+\b", text))


def test_the_final_image_is_slim_and_installs_nothing():
    final = stages()[-1]
    assert "-slim" in final["FROM"][0]
    for command in final["RUN"]:
        assert not re.search(r"\b(pip|uv|apt-get|gcc|make)\b", command), command


def test_the_final_image_runs_as_an_ordinary_user_who_owns_the_volumes():
    final = stages()[-1]
    (user,) = final["USER"]
    assert user not in ("root", "0")
    (made,) = final["RUN"]
    volumes = json.loads(final["VOLUME"][0])
    assert volumes == ["/data", "/checkpoints"]
    for volume in volumes:
        assert re.search(rf"install -d -o {user} .*{volume}", made)


def test_the_final_image_stops_checks_and_starts_the_program_itself():
    final = stages()[-1]
    assert final["STOPSIGNAL"] == ["SIGTERM"]
    assert json.loads(final["ENTRYPOINT"][0]) == ["polybackfill"]
    health = json.loads(final["HEALTHCHECK"][0].split("CMD", 1)[1])
    assert health == ["polybackfill", "status", "--health"]
    (environment,) = final["ENV"]
    assert "MALLOC_ARENA_MAX=2" in environment
    assert "BACKFILL_DATA_DIR=/data" in environment


def test_what_the_builder_copies_exists_and_reaches_it():
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    copied = [word for words in stages()[0]["COPY"] for word in words.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in allowed, name


def test_the_builder_follows_the_lock_and_leaves_test_tools_out():
    syncs = [command for command in stages()[0]["RUN"] if "uv sync" in command]
    assert syncs
    for command in syncs:
        assert {"--locked", "--no-dev"} <= set(command.split())


def test_systemd_restarts_what_may_heal_and_leaves_the_rest_to_a_person():
    assert service()["Restart"] == "on-failure"
    left = {int(code) for code in service()["RestartPreventExitStatus"].split()}
    assert left == {errors.EXIT_UNITS_IN_ERROR, errors.EXIT_CONFIG}


def test_the_grace_period_fits_into_every_stop_time():
    assert seconds(service()["TimeoutStopSec"]) >= GRACE_S + 15
    assert seconds(compose()["polybackfill"]["stop_grace_period"]) >= GRACE_S + 15


def test_the_service_is_watched_and_may_write_only_its_own_folder():
    unit = service()
    assert unit["Type"] == "notify"
    assert unit["KillMode"] == "mixed"
    assert unit["ProtectSystem"] == "strict"
    assert seconds(unit["WatchdogSec"]) > settings.BackfillSettings.model_fields["stall_s"].default
    text = (ROOT / "config" / "polybackfill.service").read_text(encoding="utf-8")
    folders = re.findall(r"BACKFILL_[A-Z]+_DIR=(\S+)", text)
    assert len(folders) == 2
    for folder in folders:
        assert folder.startswith(f"/var/lib/{unit['StateDirectory']}/")


def test_only_settings_that_exist_are_named():
    used = backfill_names("Dockerfile") | backfill_names("config/polybackfill.service")
    ours = compose()["polybackfill"]["environment"]
    assert used | set(ours) <= KNOWN | {"CLICKHOUSE_VERSION"}


def test_compose_offers_nothing_to_other_hosts_and_holds_no_password():
    for name, part in compose().items():
        for port in part.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        password = part["environment"]["CLICKHOUSE_PASSWORD"]
        assert password.startswith("${CLICKHOUSE_PASSWORD:?"), name


def test_the_two_parts_of_compose_speak_of_the_same_database():
    server, ours = compose()["clickhouse"], compose()["polybackfill"]
    assert ours["environment"]["CLICKHOUSE_HOST"] == "clickhouse"
    assert ours["environment"]["CLICKHOUSE_DATABASE"] == server["environment"]["CLICKHOUSE_DB"]
    assert ours["environment"]["CLICKHOUSE_USER"] == server["environment"]["CLICKHOUSE_USER"]
    assert ours["depends_on"]["clickhouse"]["condition"] == "service_healthy"


def test_the_fetchers_of_a_job_share_it_and_nothing_else():
    """Each has a name, an address and volumes of its own; all have the same job and server."""
    parts = fetchers()
    assert len(parts) >= 2
    environments = [part["environment"] for part in parts.values()]
    for name in ("BACKFILL_RUN_NAME", "BACKFILL_SOURCE_ADDRESS"):
        assert len({one[name] for one in environments}) == len(parts), name
    shared = [
        {
            name: value
            for name, value in one.items()
            if not name.startswith(("BACKFILL_RUN", "BACKFILL_SO"))
        }
        for one in environments
    ]
    assert all(one == shared[0] and one["BACKFILL_JOB"] for one in shared)
    volumes = [volume for part in parts.values() for volume in part["volumes"]]
    assert len(set(volumes)) == len(volumes)
    server = compose("compose-job.yml")["clickhouse"]
    for part in parts.values():
        assert set(part["environment"]) <= KNOWN
        assert part["network_mode"] == "host", "or the addresses are not those of the machine"
        assert seconds(part["stop_grace_period"]) >= GRACE_S + 15
        for name in ("USER", "PASSWORD"):
            used = part["environment"][f"CLICKHOUSE_{name}"]
            assert used == server["environment"][f"CLICKHOUSE_{name}"]
    (port,) = server["ports"]
    assert port.startswith("${LISTEN:-127.0.0.1}:"), "nobody else reaches it unless it is asked for"


def test_the_server_of_a_job_has_the_keeper_that_the_documents_show():
    file = yaml.safe_load((ROOT / "config" / "compose-job.yml").read_text(encoding="utf-8"))
    lines = file["configs"]["keeper"]["content"].split()
    shown = (ROOT / "docs" / "several-hosts.md").read_text(encoding="utf-8")
    written = re.search(r"```xml\n(.*?)```", shown, re.DOTALL)
    assert written is not None
    assert written[1].split() == lines
    keeper = ElementTree.fromstring(file["configs"]["keeper"]["content"])  # noqa: S314  (ours)
    assert keeper.find("keeper_server/tcp_port").text == keeper.find("zookeeper/node/port").text
    (used,) = compose("compose-job.yml")["clickhouse"]["configs"]
    assert used == {"source": "keeper", "target": "/etc/clickhouse-server/config.d/keeper.xml"}


def test_no_registry_is_named_in_what_we_write():
    names = ["Makefile", ".ci/run", "Dockerfile", "config/compose.yml", "README.md"]
    names.append("config/compose-job.yml")
    names += ["CONTRIBUTING.md", ".pre-commit-config.yaml"]
    workflows = (ROOT / ".github" / "workflows").iterdir()
    for name in [*names, *(path.relative_to(ROOT) for path in workflows)]:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"pypi|pythonhosted|--index|npmjs|deb\.debian", text), name


def packages() -> list[str]:
    return sorted(each.parent.name for each in (ROOT / "src").glob("*/__init__.py"))


def python(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_wheel_holds_every_package_below_src():
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(wheel["packages"]) == [f"src/{name}" for name in packages()]


def test_the_import_rule_looks_at_every_package_below_src():
    assert sorted(pyproject()["tool"]["importlinter"]["root_packages"]) == packages()


def test_all_but_the_sandbox_works_without_its_extra():
    done = python(WITHOUT_NUMPY + IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_without_the_extra_one_line_says_what_to_install(command):
    done = python(
        WITHOUT_NUMPY + f"from polybackfill import cli\nsys.exit(cli.main([{command!r}]))\n"
    )
    assert done.returncode == errors.EXIT_CONFIG
    (line,) = done.stderr.splitlines()
    assert "numpy" in line
    assert "pip install '.[sandbox]'" in line
    assert not done.stdout
