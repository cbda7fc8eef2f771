"""A store of any released version is taken over; one of an unreleased version is refused."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import harness

ROOT = Path(__file__).resolve().parents[2]
PRESENT = "the present source"


def _git(*words: str) -> bytes:
    """What git says; nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return b""
    return done.stdout


RELEASES = _git("tag", "--list", "v[0-9]*").decode().split()


def _source(version: str, folder: Path) -> Path:
    """The source of a version, to be imported in place of the installed one."""
    if version == PRESENT:
        shutil.copytree(ROOT / "src", folder / "src")
    else:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", version, "src"))) as archive:
            archive.extractall(folder, filter="data")
    return folder / "src"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[harness.Sandbox]:
    with harness.sandbox(trades=2_000, wallets=40, markets=40) as running:
        yield running


@pytest.mark.parametrize("version", [*RELEASES, PRESENT])
def test_the_store_of_a_release_is_taken_over(
    tmp_path: Path, sandbox: harness.Sandbox, version: str
) -> None:
    """Half of the work is done by that version, the other half by this one."""
    sandbox.reset()
    with harness.ground(tmp_path, sandbox.url) as ground:
        ground.environment["PYTHONPATH"] = str(_source(version, tmp_path))
        ground.run("init").expect(0)
        ground.plan(sandbox)
        ground.run("run", "wallets").expect(0)
        half = ground.state()["trades"]["rows"]
        harness.until(lambda: ground.store_pid() is None, "the end of the store")
        del ground.environment["PYTHONPATH"]
        sandbox.reset()
        ground.run("run", "conditions", "wallets").expect(0)
        assert 0 < half <= ground.state()["trades"]["rows"]
        assert "activity" not in sandbox.asked(), "what was proven is asked again"
        ground.prove(sandbox)


def test_the_store_of_an_unreleased_version_is_refused_with_the_remedy(
    tmp_path: Path, sandbox: harness.Sandbox
) -> None:
    with harness.ground(tmp_path, sandbox.url) as ground:
        source = _source(PRESENT, tmp_path)
        schema = source / "polybackfill" / "store" / "schema" / "002_activity.sql"
        schema.write_text(f"-- Another version.\n{schema.read_text()}")
        ground.environment["PYTHONPATH"] = str(source)
        ground.run("init").expect(0)
        harness.until(lambda: ground.store_pid() is None, "the end of the store")
        del ground.environment["PYTHONPATH"]
        for words in (("init",), ("run", "wallets")):
            refused = ground.run(*words)
            refused.expect(78)
            assert "002_activity.sql" in refused.err
            assert "BACKFILL_DATA_DIR" in refused.err
            assert "BACKFILL_CHECKPOINT_DIR" in refused.err
            assert "Traceback" not in refused.err
        ground.environment["PYTHONPATH"] = str(source)
        ground.run("check", "plan").expect(0)  # as it was


def test_the_version_is_told(tmp_path: Path, sandbox: harness.Sandbox) -> None:
    """From the tag; where there is none, of the release that is prepared."""
    with harness.ground(tmp_path, sandbox.url) as ground:
        told = ground.run("--version")
        told.expect(0)
        name, version = told.out.split()
        assert name == "polybackfill"
        newest = sorted(tuple(map(int, tag[1:].split("."))) for tag in RELEASES)
        least = newest[-1] if newest else (0, 2, 0)
        assert tuple(map(int, version.split(".")[:3])) >= least
