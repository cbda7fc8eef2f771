"""What a person reads of a job that several daemons share: how far it is, and who works on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polybackfill import formats


def make_lines(job: Mapping[str, Any] | None) -> list[str]:
    """Lines for the job and one for each daemon; none without a job. `job`: as it stands in a run's
    picture.
    """
    if not job:
        return []
    parts = ", ".join(
        f"{kind} {shards['done']:,}/{shards['in_all']:,}" for kind, shards in job["shards"].items()
    )
    lines = [
        f"{title(job['name'], job['round'], len(job['members']))}; shards done: {parts}",
        f"  all daemons: {_describe_work(job)}",
    ]
    lines += [_member_line(member, own=job["member"]) for member in job["members"]]
    if job["trouble"]:
        lines.append(f"  Keeper does not answer: {job['trouble']}")
    return lines


def title(name: str, round_number: int, daemons: int) -> str:
    """The job, and how many work on it."""
    return f"job {name}, round {round_number:,}, {formats.counted(daemons, 'daemon')}"


def host_rows(hosts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row of a table for each daemon. `hosts`: as in `job_figures.JobFigures`."""
    return [
        {
            "daemon": host["run_name"],
            "host": host["host"],
            "state": host["state"],
            "keys proven": host["keys"],
            "rows": host["rows"],
            "requests/s": host["requests_per_s"],
            "newest receipt": host["newest"],
        }
        for host in hosts
    ]


def _member_line(member: Mapping[str, Any], *, own: str) -> str:
    here = " (this one)" if member["member"] == own else ""
    left = f"{formats.duration(max(0.0, member['left_s']))} left of its lease"
    work = f", {_describe_work(member)}" if "keys_done" in member else ""
    return (
        f"  {member['run_name']}{here}: process {member['pid']} on {member['host']}, "
        f"{member['state']}, {left}{work}"
    )


def _describe_work(figures: Mapping[str, Any]) -> str:
    """What one daemon, or all of them, have done since their start."""
    return (
        f"{formats.counted(figures['keys_done'], 'key')} done, "
        f"{figures['keys_in_error']:,} in error, "
        f"{formats.counted(figures['rows'], 'row')} stored, "
        f"{formats.per_second(figures['requests_per_s'])} requests/s"
    )
