"""The `slurm` runner: the run script in a job of a Slurm cluster, followed from a login host until it ends.

The run folder is on storage that the nodes share. `slurm_script.py` writes the job's script into it, `slurm_states.py`
says how each end of a job is reported, and `following.py` has what this shares with Kubernetes.
"""

import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gbench.base.files import open_file, read_file, write_atomically
from gbench.errors import InfrastructureError
from gbench.runners import slurm_commands
from gbench.runners.cluster_job import ClusterJob
from gbench.runners.following import LOOK_S, ClusterRunner, Following, NoAnswer
from gbench.runners.plan import Outcome
from gbench.runners.slurm_script import ENDED, OUTPUT, SCRIPT, job_name, script_of, slurm_of
from gbench.runners.slurm_states import ENDS, JobState, failure
from gbench.settings.spec import RunSpec

SIGNALLED = 128  # exit codes from here on are of a process that a signal has ended
STORAGE_S = 60.0  # until what a node wrote is seen here; NFS looks at a folder again after so long


class FollowingSlurm(Following):
    """One job of Slurm."""

    scheduler = "Slurm"

    def __init__(self, spec: RunSpec, run_dir: Path, job: ClusterJob, on_line: Callable[[str], None]) -> None:
        super().__init__(spec, run_dir, job, on_line)
        self.read_bytes = job.log_bytes
        self.seen: JobState | None = None
        self.rest = b""
        """The beginning of a line of its output."""

    def hurries(self) -> bool:
        return (self.run_dir / ENDED).exists()

    def progress(self) -> dict[str, Any]:
        return {"log_bytes": self.read_bytes}

    def ask(self) -> Outcome | None:
        """See `Following.ask`. Raises GbenchError: of ENDS."""
        state = slurm_commands.state_of_job(self.job.job)
        if state is None or state.name not in ("", job_name(self.spec)):
            self.require_its_cluster()
            return self.forgotten()
        preempted = state.preempted or (self.seen is not None and self.seen.preempted)
        self.show(state)
        return self.ended(state, preempted) if state.ended else None

    def place(self) -> str:
        return slurm_commands.cluster_name()

    def show(self, now: JobState) -> None:
        """Print a new state. Raises GbenchError: it waits for too long, or for ever."""
        before, self.seen = self.seen, now
        job = self.job.job
        if before is not None and now.restarts > before.restarts:
            self.queued_s = time.time()
            why = "it was pre-empted" if before.preempted else "its time was up, it was pre-empted or its node failed"
            self.on_line(f"Slurm job {job} is back in the queue ({why}): start {now.restarts + 1} follows")
        elif now.waits and now.reason != "None" and (before is None or before.reason != now.reason):
            expected = f"; Slurm expects it to start at {now.expected}" if now.expected else ""
            self.on_line(f"Slurm job {job} waits: {now.reason}{expected}")
        elif now.state == "RUNNING" and (before is None or before.state != "RUNNING"):
            self.on_line(f"Slurm job {job} runs on {now.nodes}")
        elif now.state == "SUSPENDED" and before is not None and before.state != now.state:
            self.on_line(f"Slurm job {job} is suspended")
        if now.held:
            raise failure("REQUEUED", job, now, "")
        if now.waits and self.waits_too_long():
            raise failure("PENDING", job, now, f"{self.queue_limit_s:g}s")

    def ended(self, state: JobState, preempted: bool) -> Outcome:
        """The exit code of an ended job. Raises GbenchError: it did not end by itself."""
        self.over, name = True, state.state
        if name in ("COMPLETED", "FAILED") and state.exit_code < SIGNALLED:  # the script came to its end
            self.wait_for_files()
        self.relay()
        if name == "FAILED" and preempted:
            name = "PREEMPTED"
        if name in ENDS:
            keeps = self.spec.config.schedule.checkpoint_every and self.spec.evaluation is None
            resume = shlex.join(["gbench", "converge", "--resume", str(self.run_dir)]) if keeps else ""
            raise failure(name, self.job.job, state, state.time_limit, resume)
        if name == "FAILED" and not (self.run_dir / OUTPUT).exists():
            raise InfrastructureError(
                f"Slurm job {self.job.job} wrote nothing into {self.run_dir} on {state.nodes}",
                "put --results, the dataset and gbench on storage that the nodes share",
            )
        return Outcome(state.exit_code)

    def wait_for_files(self) -> None:
        """Wait until the last file of the script is seen here: shared storage may take a while."""
        until_s = time.monotonic() + STORAGE_S
        while not (self.run_dir / ENDED).exists() and time.monotonic() < until_s:
            time.sleep(LOOK_S)

    def forgotten(self) -> Outcome:
        """The exit code of a job that Slurm has forgotten, from its last line. Raises InfrastructureError: none."""
        self.over = True
        self.relay()
        try:
            return Outcome(int(read_file(self.run_dir / ENDED, "ascii")))
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"Slurm does not know job {self.job.job} any more, and the job left no exit code",
                f"see how it ended with `sacct -j {self.job.job}`",
            ) from error

    def relay(self) -> None:
        """Pass on the new whole lines of its output."""
        with suppress(OSError), open_file(self.run_dir / OUTPUT) as file:
            file.seek(self.read_bytes + len(self.rest))
            *lines, self.rest = (self.rest + file.read()).split(b"\n")
            for line in lines:
                self.read_bytes += len(line) + 1
                self.on_line(line.decode("utf-8", errors="replace"))

    def request_end(self) -> bool:
        slurm_commands.cancel(job_name(self.spec))
        state = slurm_commands.state_of_job(self.job.job)
        return state is None or state.ended


class SlurmRunner(ClusterRunner):
    """Submits the run script as a job of Slurm, and follows it."""

    following = FollowingSlurm

    def describe(self) -> dict[str, Any]:
        run_dir = self._spec.run_dir
        return {"argv": ["sbatch", "--parsable", str(run_dir / SCRIPT)], "script": script_of(self._spec, run_dir)}

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Nothing to prepare: the job has its image, if any, from its own container."""

    def facts(self) -> dict[str, Any]:
        container = slurm_of(self._spec).container
        return {
            "runner": "slurm",
            "container": container,
            **({} if container == "bare" else {"image": self._spec.image}),
        }

    def submit(self, run_dir: Path, on_line: Callable[[str], None], detached: bool = False) -> ClusterJob:
        """Write the script, submit it, and note the job. Raises InfrastructureError: Slurm refuses it."""
        script = run_dir / SCRIPT
        write_atomically(script, script_of(self._spec, run_dir))
        (run_dir / ENDED).unlink(missing_ok=True)
        output = run_dir / OUTPUT
        written = output.stat().st_size if output.exists() else 0  # of an earlier job, whose lines are in the log
        try:
            cluster = slurm_commands.cluster_name() if detached else ""
            number = slurm_commands.submit(script)
            times = {"submitted_s": time.time(), "log_bytes": written}
            job = ClusterJob(job=number, detached=detached, cluster=cluster, **times)
            job.write(run_dir)
        except BaseException:  # stopped in between: the job's number may be lost, its name is not
            with suppress(NoAnswer, InfrastructureError):
                slurm_commands.cancel(job_name(self._spec))
            raise
        on_line(f"Slurm job {number} is submitted: {script}")
        return job
