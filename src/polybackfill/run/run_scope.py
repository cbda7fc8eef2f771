"""What `run` without further words fetches: the planned list, or everything where there is none."""

from __future__ import annotations

from polybackfill import formats
from polybackfill.run import run_request
from polybackfill.store import client, plan_table

_OPEN = ("pending", "in_progress")
_EVERYTHING = "scope: everything"


async def choose_scope(
    store: client.Store | None, request: run_request.RunRequest
) -> tuple[run_request.RunRequest, str]:
    """The request narrowed to what will be fetched, and a line that says so; empty where the person
    typed parts or keys.
    """
    if store is None or not request.plan_decides:
        return run_request.narrow_to_plan(request, {}), _EVERYTHING if request.everything else ""
    planned = await _count_planned(store)
    scoped = run_request.narrow_to_plan(
        request, {part: sum(count.values()) for part, count in planned.items()}
    )
    if not scoped.listed_only:
        return scoped, f"{_EVERYTHING}; for a list: polybackfill plan build --from FILE"
    counts = [
        f"{formats.counted(sum(counts.values()), part.removesuffix('s'))}, "
        f"{_open(counts):,} of them open"
        for part, counts in planned.items()
        if counts
    ]
    return scoped, (
        f"scope: the planned list ({'; '.join(counts)}) and what its profits need; "
        "for everything: polybackfill run --everything"
    )


async def next_step(store: client.Store) -> str:
    """The command that brings the store further."""
    planned = await _count_planned(store)
    to_fetch = sum(_open(count) for count in planned.values())
    failed = sum(count.get("error", 0) for count in planned.values())
    if to_fetch:
        are_open = formats.counted(to_fetch, "key is open", "keys are open")
        return f"polybackfill run, which fetches the planned list: {are_open}"
    if failed:
        have_failed = f"{formats.counted(failed, 'key')} failed"
        return f"polybackfill plan reset --errors, then polybackfill run: {have_failed}"
    if any(planned.values()):
        return (
            "the planned list is done; polybackfill run brings it up to date, "
            "polybackfill run --everything fetches the rest"
        )
    return "polybackfill run, which fetches everything, and what is new since the last time"


async def _count_planned(store: client.Store) -> dict[str, dict[str, int]]:
    plan = plan_table.PlanTable(store)
    return {part: await plan.count_listed(part) for part in plan_table.TABLES}


def _open(counts: dict[str, int]) -> int:
    return sum(counts.get(status, 0) for status in _OPEN)
