"""What a person reads of a job that several daemons share: how far it is, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polybackfill import formats


def make_lines(job: Mapping[str, Any] | None) -> list[str]:
    """A line for the job and one for each daemon; none without a job. `job`: as it stands in a
    run's picture.
    """
    if not job:
        return []
    parts = ", ".join(
        f"{kind} {shards['done']:,}/{shards['in_all']:,}" for kind, shards in job["shards"].items()
    )
    hosts = formats.counted(len(job["members"]), "daemon")
    lines = [f"job {job['name']}, round {job['round']:,}, {hosts}; shards done: {parts}"]
    lines += [_member_line(member, own=job["member"]) for member in job["members"]]
    if job["trouble"]:
        lines.append(f"  Keeper does not answer: {job['trouble']}")
    return lines


def _member_line(member: Mapping[str, Any], *, own: str) -> str:
    here = " (this one)" if member["member"] == own else ""
    left = f"{formats.duration(max(0.0, member['left_s']))} left of its lease"
    work = ""
    if "keys_done" in member:
        work = (
            f", {formats.counted(member['keys_done'], 'key')} done, "
            f"{member['keys_in_error']:,} in error, {formats.counted(member['rows'], 'row')} stored"
        )
    return (
        f"  {member['run_name']}{here}: process {member['pid']} on {member['host']}, "
        f"{member['state']}, {left}{work}"
    )
