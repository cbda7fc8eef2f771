"""docs/states.md draws every state and every transition of the code, and no other."""

from __future__ import annotations

import re
import typing
from pathlib import Path

from polybackfill.checkpoint import journal
from polybackfill.engine import supervisor
from polybackfill.reports import run_state

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
OF_UNIT, OF_RUN = re.findall(r"^```mermaid\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def tags() -> set[str]:
    return {str(line.__struct_config__.tag) for line in typing.get_args(journal.AnyTransition)}


def states_of(diagram: str) -> set[str]:
    drawn = re.findall(r"^ +(\S+) --> ([^\s:]+)", diagram, re.MULTILINE)
    return {state for pair in drawn for state in pair} - {"[*]"}


def test_every_transition_of_a_unit_is_drawn_and_told():
    drawn = set(re.findall(r": (\w+)", OF_UNIT)) - {"the", "two"}
    assert drawn == tags() - {"plan_synced"}
    assert tags() <= set(re.findall(r"\*(\w+)\*", PAGE))


def test_every_state_of_a_run_is_drawn():
    source = Path(supervisor.__file__).read_text(encoding="utf-8")
    set_by_supervisor = {
        name
        for line in re.findall(r"self\.state = (.+)", source)
        for name in re.findall(r'"(\w+)"', line)
    }
    assert states_of(OF_RUN) == set_by_supervisor


def test_what_is_seen_from_outside_is_told():
    (listed,) = re.findall(
        r"\(starting, (.+?)\), or (.+?)\.", run_state.RunState.__doc__ or "", re.S
    )
    names = {name for text in listed for name in re.findall(r"\w+", text)}
    assert {"never", "stalled", "crashed", "unknown"} <= names
    assert names - states_of(OF_RUN) <= set(re.findall(r"\*(\w+)\*", PAGE))
