"""A job that several daemons share, as a whole and host by host.

Who lives and what it does now stands in Keeper, as each told at its last renewal; what is proven
stands in the receipts, also of daemons that are gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec

from polybackfill.checkpoint import sweeps
from polybackfill.store import client, job_tables, query_files

_RECEIPTS = query_files.read("receipts_of_job")
EXPIRED = "expired"


class PartFacts(msgspec.Struct, frozen=True):
    """What a daemon tells of one kind. `keys`: of the whole job, as far as it knows them; the rest
    is its own: `requests_per_s`, seconds left (None: not known), keys in hand and in error.
    """

    keys: int
    open: int
    error: int
    requests_per_s: float
    eta_s: float | None


class MemberFacts(msgspec.Struct, frozen=True):
    """What a daemon tells the others of its work since its start; nothing before its first renewal.

    `at`: when, by its own clock (epoch seconds); `round`: of the job; `keys_done`: proven by it.
    """

    at: float = 0.0
    round: int = 0
    keys_done: int = 0
    keys_in_error: int = 0
    rows: int = 0
    rows_per_s: float = 0.0
    requests_per_s: float = 0.0
    eta_s: float | None = None
    parts: dict[str, PartFacts] = msgspec.field(default_factory=dict)


class _Proof(TypedDict):
    """A row of `receipts_of_job`."""

    kind: str
    host: str
    run_name: str
    keys: int
    rows: int
    pages: int
    rejected: int
    newest: str


@dataclass(frozen=True)
class HostFigures:
    """One daemon over all of its starts. `state`: alive, expired or dead, gone for one that does
    not work on the job now; `left_s`: of its lease. `newest`: its last receipt, UTC, "" for none.
    """

    run_name: str
    host: str
    state: str
    left_s: float | None
    requests_per_s: float
    keys: int
    rows: int
    pages: int
    newest: str


@dataclass(frozen=True)
class JobPart:
    """One kind of the whole job: `keys` known and `done` (proven), rows, and what the daemons that
    live tell of it. `shards`: in all, `shards_done` of them.

    Keys in error are those that each daemon told last: one that is gone for a day is forgotten.
    """

    shards: int
    shards_done: int
    keys: int
    done: int
    open: int
    error: int
    rows: int
    rejected: int
    requests_per_s: float
    eta_s: float | None


@dataclass(frozen=True)
class JobFigures:
    """The whole job. `began_at`: epoch seconds, of this `round`."""

    name: str
    round: int
    began_at: float
    parts: dict[str, JobPart]
    hosts: list[HostFigures]

    @property
    def at_work(self) -> int:
        """How many daemons work on it now."""
        return sum(host.state == job_tables.ALIVE for host in self.hosts)

    def document(self) -> dict[str, Any]:
        """For scripts."""
        return {**dataclasses.asdict(self), "at_work": self.at_work}


async def read(store: client.Store, tables: job_tables.JobTables, name: str) -> JobFigures | None:
    """The job of that name; None when there was none. Raises what the store raises."""
    if not name or not await tables.exist() or (job := await tables.find(name)) is None:
        return None
    members = await tables.members(name)
    listed_only = bool(msgspec.json.decode(job.definition)["planned_list"])
    sweep = sweeps.name(job.began_at, listed_only=listed_only)
    proofs = await store.records(_RECEIPTS, _Proof, parameters={"job": name, "sweep": sweep})
    shards = await tables.shards(job)
    newest = _newest_by_run(member for member in members if read_facts(member).round == job.round)
    parts = {
        kind: _part(kind, of_kind, newest, proofs)
        for kind, of_kind in shards.items()
        if kind != job_tables.POST_RUN
    }
    return JobFigures(name, job.round, job.began_at, parts, _hosts(members, proofs))


def read_facts(member: job_tables.Member) -> MemberFacts:
    """What a daemon told; of one of another version what can be understood."""
    try:
        return msgspec.convert(dict(member.facts), MemberFacts)
    except msgspec.ValidationError:
        return MemberFacts()


def describe_members(members: Sequence[job_tables.Member]) -> list[dict[str, Any]]:
    """Those that are not gone, for views."""
    return [
        {
            "member": member.name,
            "host": member.process.host,
            "run_name": member.process.run_name,
            "pid": member.process.pid,
            "state": describe_state(member),
            "left_s": round(member.left_s, 1),
            **{
                name: value
                for name, value in msgspec.to_builtins(read_facts(member)).items()
                if name != "parts" and member.facts
            },
        }
        for member in members
        if member.state != job_tables.GONE
    ]


def describe_totals(members: Sequence[job_tables.Member], round_number: int) -> dict[str, Any]:
    """What all daemons of a round have done so far, and how fast those work that live."""
    of_round = [member for member in members if read_facts(member).round == round_number]
    all_facts = [read_facts(member) for member in of_round]
    newest = [read_facts(member) for member in _newest_by_run(of_round)]
    living = [read_facts(member) for member in of_round if _is_alive(member)]
    return {
        "keys_done": sum(facts.keys_done for facts in all_facts),
        "keys_in_error": sum(facts.keys_in_error for facts in newest),
        "rows": sum(facts.rows for facts in all_facts),
        "rows_per_s": round(sum(facts.rows_per_s for facts in living), 1),
        "requests_per_s": round(sum(facts.requests_per_s for facts in living), 1),
        "eta_s": longest(facts.eta_s for facts in living),
    }


def describe_state(member: job_tables.Member) -> str:
    """Alive only while its lease lasts."""
    is_late = member.state == job_tables.ALIVE and member.left_s <= 0
    return EXPIRED if is_late else member.state


def longest(etas: Iterable[float | None]) -> float | None:
    """They work side by side: the last one decides; None where one does not know, or nobody is
    there.
    """
    known = list(etas)
    if not known or None in known:
        return None
    return max(eta for eta in known if eta is not None)


def _is_alive(member: job_tables.Member) -> bool:
    return describe_state(member) == job_tables.ALIVE


def _newest_by_run(members: Iterable[job_tables.Member]) -> list[job_tables.Member]:
    """Of several starts of one daemon the last: it tells what its checkpoint holds."""
    by_run: dict[str, job_tables.Member] = {}
    for member in sorted(members, key=lambda one: one.process.started_at):
        by_run[member.process.run_name] = member
    return list(by_run.values())


def _part(
    kind: str,
    shards: job_tables.Shards,
    newest: Sequence[job_tables.Member],
    proofs: Sequence[_Proof],
) -> JobPart:
    facts_of_runs = [
        (facts, _is_alive(member))
        for member in newest
        if (facts := read_facts(member).parts.get(kind)) is not None
    ]
    living = [facts for facts, is_alive in facts_of_runs if is_alive]
    proven = [row for row in proofs if row["kind"] == kind]
    done = sum(row["keys"] for row in proven)
    error = sum(facts.error for facts, _ in facts_of_runs)
    return JobPart(
        shards=len(shards.is_done),
        shards_done=sum(shards.is_done),
        keys=done + error
        if shards.all_done
        else max([done + error, *(facts.keys for facts, _ in facts_of_runs)]),
        done=done,
        open=sum(facts.open for facts in living),
        error=error,
        rows=sum(row["rows"] for row in proven),
        rejected=sum(row["rejected"] for row in proven),
        requests_per_s=round(sum(facts.requests_per_s for facts in living), 2),
        eta_s=0.0 if shards.all_done else longest(facts.eta_s for facts in living),
    )


def _hosts(members: Sequence[job_tables.Member], proofs: Sequence[_Proof]) -> list[HostFigures]:
    """By name: who has proven anything, and who is there now."""
    there: Mapping[str, job_tables.Member] = {
        member.process.run_name: member
        for member in _newest_by_run(one for one in members if one.state != job_tables.GONE)
    }
    names = dict.fromkeys([*(row["run_name"] for row in proofs), *there])
    return [_host(name, there.get(name), proofs) for name in sorted(names)]


def _host(run_name: str, member: job_tables.Member | None, proofs: Sequence[_Proof]) -> HostFigures:
    proven = [row for row in proofs if row["run_name"] == run_name]
    newest = max(proven, key=lambda row: row["newest"], default=None)
    is_alive = member is not None and _is_alive(member)
    return HostFigures(
        run_name=run_name,
        host=member.process.host if member is not None else newest["host"] if newest else "",
        state=describe_state(member) if member is not None else job_tables.GONE,
        left_s=round(max(0.0, member.left_s), 1) if member is not None else None,
        requests_per_s=read_facts(member).requests_per_s if member and is_alive else 0.0,
        keys=sum(row["keys"] for row in proven),
        rows=sum(row["rows"] for row in proven),
        pages=sum(row["pages"] for row in proven),
        newest=newest["newest"] if newest is not None else "",
    )
