"""What Slurm says of a job, and how each end of a job is reported.

The lines are recorded from Slurm 22.05.8. A state that a cluster without accounting and cgroups can't bring about
is put into a recorded line.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gbench.base.paths import project_file
from gbench.errors import ExitCode, Interrupted, OutOfMemory
from gbench.runners.slurm_states import ENDS, JobState, failure

RECORDED = project_file("tests/fixtures/slurm-22.05")
CODES = {
    "PENDING": ExitCode.INFRASTRUCTURE,
    "REQUEUED": ExitCode.INFRASTRUCTURE,
    "NODE_FAIL": ExitCode.INFRASTRUCTURE,
    "BOOT_FAIL": ExitCode.INFRASTRUCTURE,
    "TIMEOUT": ExitCode.FAILED,
    "DEADLINE": ExitCode.FAILED,
    "PREEMPTED": ExitCode.INFRASTRUCTURE,
    "OUT_OF_MEMORY": ExitCode.FAILED,
    "CANCELLED": ExitCode.INTERRUPTED,
    "REVOKED": ExitCode.INFRASTRUCTURE,
}


def recorded(name: str, **fields: str) -> JobState:
    """A recorded line, with some of its fields replaced."""
    line = (RECORDED / f"{name}.txt").read_text()
    for field, value in fields.items():
        line, count = re.subn(rf"\b{field}=\S*", f"{field}={value}", line, count=1)
        assert count == 1
    return JobState.parsed(line)


def test_a_job_in_the_queue() -> None:
    job = recorded("pending")
    assert (job.state, job.reason, job.waits, job.held, job.ended) == ("PENDING", "Resources", True, False, False)
    assert (job.nodes, job.expected, job.preempted) == ("", "2026-11-30T08:16:15", False)


def test_a_running_job_that_is_being_preempted() -> None:
    job = recorded("running")
    assert (job.state, job.nodes, job.time_limit, job.preempted) == ("RUNNING", "n1", "UNLIMITED", True)
    assert not (job.waits or job.ended)


def test_an_ended_job() -> None:
    job = recorded("ended")
    assert (job.state, job.ended, job.exit_code) == ("CANCELLED", True, 128 + 15)
    assert recorded("ended", ExitCode="3:0").exit_code == 3
    with pytest.raises(ValueError, match="no JobState"):
        JobState.parsed("slurm_load_jobs error")


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({"Reason": "launch_failed_requeued_held"}, True),
        ({"Reason": "job_requeued_in_held_state", "Restarts": "1"}, True),
        ({"JobState": "REQUEUE_HOLD"}, True),
        ({"Reason": "JobHeldUser", "Restarts": "1"}, True),
        ({"Reason": "JobHeldUser"}, False),  # as the user asked
        ({"Reason": "BeginTime", "Restarts": "1"}, False),
    ],
)
def test_a_job_that_no_one_starts_again(fields: dict[str, str], held: bool) -> None:
    assert recorded("pending", **fields).held is held


@pytest.mark.parametrize(("state", "code"), CODES.items())
def test_each_end_has_its_sentence_and_exit_code(state: str, code: ExitCode) -> None:
    job = recorded("running", JobState=state, TimeLimit="00:10:00")
    error = failure(state, "7", replace(job, reason="Priority"), job.time_limit)
    assert "Slurm job 7" in error.what and "{" not in str(error) and error.hint
    assert error.exit_code == code
    assert job.ended or state in ("PENDING", "REQUEUED")


def test_the_sentences_name_what_they_know() -> None:
    job = recorded("running", NodeList="n[1-2]", TimeLimit="00:10:00")
    assert failure("NODE_FAIL", "7", job, "").what == "node n[1-2] of Slurm job 7 failed"
    assert failure("TIMEOUT", "7", job, job.time_limit).what == "Slurm job 7 reached its time limit 00:10:00"
    assert isinstance(failure("OUT_OF_MEMORY", "7", job, ""), OutOfMemory)
    assert isinstance(failure("CANCELLED", "7", job, ""), Interrupted)
    pending = failure("PENDING", "7", recorded("pending"), "90s")
    assert pending.what == "Slurm job 7 did not start within --queue-timeout 90s (Resources) and was cancelled"


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    assert CODES.keys() == ENDS.keys()
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\d+) \| (.+?) \|", project_file("docs/slurm.md").read_text(), re.MULTILINE)
    documented = {state: (int(code), sentence) for state, code, sentence in rows}
    assert documented == {
        state: (end.error.exit_code, re.sub(r"{(\w+)}", lambda word: word[1].upper(), end.what))
        for state, end in ENDS.items()
    }


def test_a_job_of_which_only_the_state_is_said() -> None:
    job = JobState.parsed("JobId=5 JobState=PENDING")
    assert (job.state, job.reason, job.restarts, job.expected, job.name) == ("PENDING", "None", 0, "", "")
