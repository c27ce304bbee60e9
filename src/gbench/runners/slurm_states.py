"""What Slurm says of a job, and how each end of a job is reported: one sentence and one exit code a state."""

import re
from dataclasses import dataclass

from gbench.errors import GbenchError, InfrastructureError, Interrupted, OutOfMemory, RunFailed
from gbench.runners.cluster_job import AGAIN, JobEnd


@dataclass(frozen=True)
class JobState:
    """A job, from a line of `scontrol show job --oneliner`."""

    state: str
    reason: str
    restarts: int
    exit_code: int
    """Of its script, or 128 + the signal that ended it."""
    nodes: str
    time_limit: str
    preempted: bool
    """Slurm ends it for the sake of another job."""
    expected: str
    """When Slurm expects it to start; empty if it doesn't say."""
    name: str = ""

    @classmethod
    def parsed(cls, line: str) -> "JobState":
        """Read a line. Raises ValueError: it is of no job."""
        fields: dict[str, str] = {}
        for name, value in re.findall(r"(?:^| )([A-Za-z][\w/:]*)=(\S*)", line):
            fields.setdefault(name, value)  # later words may be of a command or a comment
        if "JobState" not in fields:
            raise ValueError("no JobState")
        code, _, number = fields.get("ExitCode", "0:0").partition(":")
        started = fields.get("StartTime", "")
        return cls(
            state=fields["JobState"],
            reason=fields.get("Reason", "None"),
            restarts=int(fields.get("Restarts", "0")),
            exit_code=128 + int(number) if number not in ("", "0") else int(code),
            nodes=fields.get("NodeList", "").replace("(null)", ""),
            time_limit=fields.get("TimeLimit", ""),
            preempted=fields.get("PreemptTime", "None") not in ("None", "", "Unknown"),
            name=fields.get("JobName", ""),
            expected="" if started in ("", "Unknown", "N/A") else started,
        )

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def held(self) -> bool:
        """Whether it was put back into the queue, and nothing but a person will start it."""
        reason = self.reason.lower()
        return self.state in HELD or ("held" in reason and (self.restarts > 0 or "requeued" in reason))

    @property
    def ended(self) -> bool:
        return self.state in ENDED


HELD = ("REQUEUE_HOLD", "SPECIAL_EXIT")
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "RESV_DEL_HOLD", *HELD)

# The states in which a run ends without its result. docs/slurm.md has the same table.
ENDS = {
    "PENDING": JobEnd(
        InfrastructureError,
        "Slurm job {job} did not start within --queue-timeout {limit} ({reason}) and was cancelled",
        "give it longer, or ask for less; `squeue --start` shows when Slurm expects jobs to start",
    ),
    "REQUEUED": JobEnd(
        InfrastructureError,
        "Slurm job {job} is back in the queue and held ({reason}), so it was cancelled",
        "ask the cluster's administrators what failed on its nodes, then launch it again",
    ),
    "NODE_FAIL": JobEnd(InfrastructureError, "node {nodes} of Slurm job {job} failed", AGAIN),
    "BOOT_FAIL": JobEnd(InfrastructureError, "node {nodes} of Slurm job {job} did not start", AGAIN),
    "TIMEOUT": JobEnd(
        RunFailed,
        "Slurm job {job} reached its time limit {limit}",
        "give it longer with --time, or less to do",
    ),
    "DEADLINE": JobEnd(RunFailed, "Slurm job {job} reached its deadline", "give it longer, or less to do"),
    "PREEMPTED": JobEnd(
        InfrastructureError,
        "Slurm job {job} was pre-empted by a job of higher priority",
        "launch it again, or in a partition or QOS that is not pre-empted",
    ),
    "OUT_OF_MEMORY": JobEnd(
        OutOfMemory,
        "Slurm job {job} was killed on {nodes} for using more memory than it asked for",
        'take a smaller batch, or ask for more: --sbatch "--mem=0" is all of a node',
    ),
    "CANCELLED": JobEnd(Interrupted, "Slurm job {job} was cancelled", "what the run had written is kept"),
    "REVOKED": JobEnd(InfrastructureError, "Slurm job {job} was revoked: another cluster took it", AGAIN),
}
ENDED = ("COMPLETED", "FAILED", *(state for state in ENDS if state not in ("PENDING", "REQUEUED")))


def failure(state: str, job: str, seen: JobState, limit: str, resume: str = "") -> GbenchError:
    """The error of a state of ENDS. resume: the command that goes on with the run, if one does."""
    known = {"job": job, "nodes": seen.nodes or "none", "limit": limit, "reason": seen.reason}
    return ENDS[state].to_raise(resume, **known)
