"""What `run` without further words fetches: the planned list, or everything where there is none."""

from __future__ import annotations

from polybackfill import formats
from polybackfill.commands import words
from polybackfill.store import client, plan_table

_OPEN = ("pending", "in_progress")
_EVERYTHING = "scope: everything"


async def of(store: client.Store | None, asked: words.Asked) -> tuple[words.Asked, str]:
    """What is fetched, and a line that says so; empty when the words themselves say it."""
    if store is None or not asked.plan_decides:
        return words.scoped(asked, {}), _EVERYTHING if asked.everything else ""
    listed = await _listed(store)
    scoped = words.scoped(asked, {part: sum(count.values()) for part, count in listed.items()})
    if not scoped.listed_only:
        return scoped, f"{_EVERYTHING}; for a list: polybackfill plan build --from FILE"
    counts = [
        f"{formats.counted(sum(counts.values()), part.removesuffix('s'))}, "
        f"{_open(counts):,} of them open"
        for part, counts in listed.items()
        if counts
    ]
    return scoped, (
        f"scope: the planned list ({'; '.join(counts)}) and what its profits need; "
        "for everything: polybackfill run --everything"
    )


async def next_step(store: client.Store) -> str:
    """The command that brings the store further."""
    listed = await _listed(store)
    to_fetch = sum(_open(count) for count in listed.values())
    failed = sum(count.get("error", 0) for count in listed.values())
    if to_fetch:
        are_open = formats.counted(to_fetch, "key is open", "keys are open")
        return f"polybackfill run, which fetches the planned list: {are_open}"
    if failed:
        have_failed = f"{formats.counted(failed, 'key')} failed"
        return f"polybackfill plan reset --errors, then polybackfill run: {have_failed}"
    if any(listed.values()):
        return (
            "the planned list is done; polybackfill run brings it up to date, "
            "polybackfill run --everything fetches the rest"
        )
    return "polybackfill run, which fetches everything, and what is new since the last time"


async def _listed(store: client.Store) -> dict[str, dict[str, int]]:
    plan = plan_table.PlanTable(store)
    return {part: await plan.listed(part) for part in plan_table.TABLES}


def _open(counts: dict[str, int]) -> int:
    return sum(counts.get(status, 0) for status in _OPEN)
