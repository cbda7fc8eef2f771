"""The commands of the README work when they are typed in the order in which they stand there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(<!-- not run by the tests: .+ -->\n)?^```sh\n(.*?)^```$", re.M | re.S)
CONDITION = re.compile(r"0x[0-9a-f]{64}")
# `make demo` as it stands, on a universe that fits into a test.
SMALL = {"ARGS": "--trades 12000 --wallets 60 --markets 60"}


def blocks() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [script for excused, script in BLOCK.findall(text) if not excused]


def test_only_the_installation_is_excused():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    excused = [script for reason, script in BLOCK.findall(text) if reason]
    assert len(excused) == 1
    assert "pip install '.[sandbox]'" in excused[0]
    assert len(blocks()) == 2


def test_every_command_works_in_the_order_of_the_text(place):
    (condition,) = [place.known("conditions")[0]]
    for script in blocks():
        real = CONDITION.sub(condition["condition_id"], script)
        chore = real.startswith("make ")
        done = place.shell(real, ROOT, **SMALL) if chore else place.shell(real)
        assert done.returncode == 0, f"{real}\n{done.stdout}{done.stderr}"
    trades, wallets = done.stdout.strip().splitlines()[-1].split("\t")
    assert int(trades) == condition["rows"]
    assert 0 < int(wallets) <= int(trades)
