"""What a person reads of a job."""

from __future__ import annotations

from polybackfill.reports import job_lines

_JOB = {
    "name": "universe",
    "member": "a-main-1",
    "round": 2,
    "trouble": "",
    "keys_done": 1_001,
    "keys_in_error": 2,
    "rows": 99_999,
    "requests_per_s": 39.6,
    "shards": {"wallets": {"in_all": 256, "done": 12, "mine": 61}},
    "members": [
        {
            "member": "a-main-1",
            "host": "a.example",
            "run_name": "a",
            "pid": 7,
            "state": "alive",
            "left_s": 52.4,
            "keys_done": 1,
            "keys_in_error": 0,
            "rows": 12_345,
            "requests_per_s": 19.7,
        },
        {
            "member": "b-main-2",
            "host": "b.example",
            "run_name": "b",
            "pid": 8,
            "state": "expired",
            "left_s": -3.0,
        },
    ],
}


def test_a_job_and_its_daemons():
    assert job_lines.make_lines(_JOB) == [
        "job universe, round 2, 2 daemons; shards done: wallets 12/256",
        "  all daemons: 1,001 keys done, 2 in error, 99,999 rows stored, 39.6 requests/s",
        "  a (this one): process 7 on a.example, alive, 52 s left of its lease, 1 key done, "
        "0 in error, 12,345 rows stored, 19.7 requests/s",
        "  b: process 8 on b.example, expired, 0 s left of its lease",
    ]
    silent = job_lines.make_lines({**_JOB, "trouble": "session expired"})
    assert silent[-1] == "  Keeper does not answer: session expired"


def test_a_run_on_its_own_says_nothing_of_jobs():
    assert job_lines.make_lines(None) == []
