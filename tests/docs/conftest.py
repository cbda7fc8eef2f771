"""A local Polymarket and an empty folder to work in, for documents that are executed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-m", "polybackfill"]


@dataclass(frozen=True)
class Place:
    """A folder, the environment commands get in it, and the sandbox they talk to."""

    folder: Path
    environment: dict[str, str]
    sandbox_url: str

    def shell(
        self, script: str, folder: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a block as a person's shell would, but stop at the first command that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder or self.folder,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )

    def program(self, *words: str) -> str:
        """The standard output of one command that must succeed."""
        done = subprocess.run(
            [*PROGRAM, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def known(self, kind: str) -> list[dict[str, Any]]:
        """The sandbox's `wallets` or `conditions`, largest first."""
        url = f"{self.sandbox_url}/_sandbox/{kind}?top=20"
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  (our own sandbox)
            return json.load(answer)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    """A fresh place beside a sandbox that answers at once."""
    command = [*PROGRAM, "sandbox", "--port", "0", "--latency-ms", "0", "--trades", "8000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sandbox:
        try:
            assert sandbox.stdout is not None
            url = sandbox.stdout.readline().split()[-1].rstrip("/")
            own = Path(sys.executable).parent
            environment = {
                **os.environ,
                "PATH": f"{own}:{os.environ['PATH']}",
                "BACKFILL_DATA_URL": f"{url}/data",
                "BACKFILL_GAMMA_URL": f"{url}/gamma",
                "BACKFILL_CLOB_URL": f"{url}/clob",
            }
            yield Place(tmp_path_factory.mktemp("place"), environment, url)
        finally:
            sandbox.terminate()
