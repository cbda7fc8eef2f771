"""The commands of docs/quickstart.md work when they are typed in the order of the text.

The installation is not typed here; the demonstration has a test of its own.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests import harness
from tests.commands import desk as desks
from tests.commands.conftest import NewDesk

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"
COMMANDS = re.findall(r"^polybackfill (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def _names(sandbox: harness.Sandbox) -> dict[str, str]:
    """What stands for a name of the reader's own."""
    page = f"{sandbox.url}/gamma/events/keyset?closed=true&limit=1"
    search = f"{sandbox.url}/gamma/public-search?q=a&search_profiles=true&limit_per_type=50"
    people = [one["name"] for one in harness.ask(search)["profiles"]]
    plain = [name for name in people if name.isalnum() and people.count(name) == 1]
    return {"EVENT": harness.ask(page)["events"][0]["slug"], "NAME": plain[0]}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_every_command_works_in_the_order_of_the_text(
    new_desk: NewDesk, sandbox: harness.Sandbox
) -> None:
    desk: desks.Desk = new_desk()
    desk.move_out()
    desk.file("list.txt", [*sandbox.wallets[:3], f"{sandbox.conditions[0]},120,35.5"])
    desk.file("ids.txt", sandbox.conditions[1:3])
    amounts = ", ".join(f"('{wallet[2:]}', 1)" for wallet in sandbox.wallets)
    columns = "(wallet_address, collateral_amount)"
    desk.call("sql", f"INSERT INTO pm_trades {columns} VALUES {amounts}")
    names = _names(sandbox)
    typed = [command for command in COMMANDS if command != "demo"]
    assert len(typed) == len(COMMANDS) - 1 > 14
    for command in typed:
        for name, own in names.items():
            command = command.replace(name, own)  # noqa: PLW2901
        desk.call(*shlex.split(command), within_s=120)
    assert desk.statuses() == {"done": len(sandbox.wallets)}
    truth = sandbox.truth()["trades"]
    stored = desk.state()["trades"]
    assert (stored["rows"], stored["digest"]) == (truth["rows"], truth["digest"])
