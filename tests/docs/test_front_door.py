"""What a contributor meets first agrees with the project: workflows, forms, hooks, chores."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
FORMS = [
    path for path in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) if path.stem != "config"
]
HOOKS = ROOT / ".pre-commit-config.yaml"
# Where chores are named: in documents as code, in what is executed anywhere.
EXECUTED = [*WORKFLOWS, HOOKS, ROOT / ".ci" / "run"]
TOLD = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob(".github/*.md")),
]
CHORE = re.compile(r"\bmake((?: --?[a-z-]+)*) ([a-z][a-z-]*)")
CODE = re.compile(r"^```sh\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def supported() -> list[str]:
    """The Python versions of the classifiers."""
    texts = project()["classifiers"]
    return [text.rpartition(" ")[2] for text in texts if "Language :: Python :: 3." in text]


def chores() -> set[str]:
    """The targets of the Makefile that have a line of help."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [job])


def test_there_is_something_to_look_at():
    assert [path.stem for path in WORKFLOWS] == ["ci", "release"]
    assert [path.stem for path in FORMS] == ["bug", "figure", "idea"]
    assert len(supported()) > 2


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.name)
def test_chores_that_are_executed_exist(path):
    named = {chore for _, chore in CHORE.findall(path.read_text(encoding="utf-8"))}
    assert named
    assert named <= chores()


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.name)
def test_chores_that_are_told_exist(path):
    text = path.read_text(encoding="utf-8")
    code = "\n".join(block or inline for block, inline in CODE.findall(text))
    assert {chore for _, chore in CHORE.findall(code)} <= chores()


def test_help_of_make_lists_every_chore():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert set(phony.split()) == chores()


def test_the_same_python_versions_everywhere():
    matrix = read(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python-version"] == supported()
    assert project()["requires-python"] == f">={supported()[0]}"
    for path in WORKFLOWS:
        for step in steps(read(path)):
            version = str(step.get("with", {}).get("python-version", supported()[0]))
            assert version in [*supported(), "${{ matrix.python-version }}"]


def test_the_engine_comes_ready_made_for_every_python():
    """Nobody compiles chDB at home: a wheel for one Python alone would leave the others out."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    (engine,) = [each for each in lock["package"] if each["name"] == "chdb-core"]
    for wheel in engine["wheels"]:
        assert re.search(r"-(cp3\d+-abi3|py3-none)-", wheel["url"]), wheel["url"]


@each_workflow
def test_a_workflow_may_read_and_its_jobs_say_what_they_may_besides(path):
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    expected = {"publish": {"id-token": "write"}, "page": {"contents": "write"}}
    assert more == (expected if path.stem == "release" else {})


@each_workflow
def test_every_job_ends_and_every_action_has_a_version(path):
    workflow = read(path)
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 90, name
    for step in steps(workflow):
        used = step.get("uses", "")
        if used.startswith("./"):
            assert (ROOT / used).is_file(), used
        elif used:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", used), used


def test_only_a_version_that_is_tested_and_told_is_published():
    workflow = read(ROOT / ".github/workflows/release.yml")
    jobs = workflow["jobs"]
    assert workflow[True]["push"] == {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}  # YAML reads `on` as true
    assert jobs["ci"] == {"uses": "./.github/workflows/ci.yml"}
    assert set(jobs["publish"]["needs"]) == {"ci", "build"}
    commands = [step.get("run", "") for step in jobs["build"]["steps"]]
    notes = next(number for number, text in enumerate(commands) if " notes " in text)
    assert notes < commands.index("make dist")
    assert "trusted-publishing always" in jobs["publish"]["steps"][-1]["run"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_and_says_what_it_must_have(path):
    form = read(path)
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    names = [part["id"] for part in asked]
    assert len(set(names)) == len(names)
    assert all(part["attributes"]["label"] for part in asked)
    assert [part for part in asked if part.get("validations", {}).get("required")]


def test_hooks_call_the_tools_of_the_environment():
    for repository in read(HOOKS)["repos"]:
        assert repository["repo"] == "local", "another one would be fetched"
        for hook in repository["hooks"]:
            assert hook["language"] == "system", hook["id"]
            assert hook["entry"].startswith((".venv/bin/", "make ")), hook["id"]
            if hook["entry"].startswith(".venv/bin/"):
                tool = hook["entry"].split()[0].rpartition("/")[2]
                assert re.search(rf"\$\(BIN\)/{tool}\b", (ROOT / "Makefile").read_text()), tool
