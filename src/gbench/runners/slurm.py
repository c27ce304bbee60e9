"""The `slurm` runner: the run script in a job of a Slurm cluster, followed from a login host until it ends.

The run folder is on storage that the nodes share. `slurm_script.py` writes the job's script into it, `slurm_states.py`
says how each end of a job is reported, and `slurm_job.py` notes the job, so that `gbench launch --attach` finds it.
"""

import math
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbench.base.files import write_atomically
from gbench.errors import InfrastructureError, Interrupted
from gbench.runners import slurm_commands
from gbench.runners.plan import Outcome
from gbench.runners.slurm_commands import NoAnswer
from gbench.runners.slurm_job import SlurmJob, job_of_its_own
from gbench.runners.slurm_script import ENDED, OUTPUT, SCRIPT, job_name, script_of, slurm_of
from gbench.runners.slurm_states import ENDS, JobState, failure
from gbench.settings.spec import RunSpec

LOOK_S = 0.5  # between looks at the output
ASK_S = 10.0  # longest time between questions to the controller; shorter in the first minutes
SIGNALLED = 128  # exit codes from here on are of a process that a signal has ended
SILENT_S = 600.0  # a controller that restarts
STORAGE_S = 60.0  # until what a node wrote is seen here; NFS looks at a folder again after so long
ENDING_S = 300.0  # from scancel, or the script's last line, to the end of the job


def attach_command(run_dir: Path) -> str:
    """The command that takes up a job."""
    return shlex.join(["gbench", "launch", "--attach", str(run_dir)])


class SlurmRunner:
    """Submits the run script as a job, and follows it."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    def describe(self) -> dict[str, Any]:
        run_dir = self._spec.run_dir
        return {"argv": ["sbatch", "--parsable", str(run_dir / SCRIPT)], "script": script_of(self._spec, run_dir)}

    def with_spec(self, spec: RunSpec) -> "SlurmRunner":
        """For another spec; see `Runner.with_spec`."""
        return SlurmRunner(spec)

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Nothing to prepare: the job has its image, if any, from its own container."""

    def facts(self) -> dict[str, Any]:
        """How the job runs on its nodes."""
        container = slurm_of(self._spec).container
        return {
            "runner": "slurm",
            "container": container,
            **({} if container == "bare" else {"image": self._spec.image}),
        }

    def submit(self, run_dir: Path, on_line: Callable[[str], None], detached: bool = False) -> SlurmJob:
        """Write the script, submit it, and note the job. Raises InfrastructureError: Slurm refuses it."""
        script = run_dir / SCRIPT
        write_atomically(script, script_of(self._spec, run_dir))
        (run_dir / ENDED).unlink(missing_ok=True)
        output = run_dir / OUTPUT
        written = output.stat().st_size if output.exists() else 0  # of an earlier job, whose lines are in the log
        try:
            number = slurm_commands.submit(script)
            job = SlurmJob(job=number, submitted_s=time.time(), detached=detached, log_bytes=written)
            job.write(run_dir)
        except BaseException:  # stopped in between: the job's number may be lost, its name is not
            with suppress(NoAnswer, InfrastructureError):
                slurm_commands.cancel(job_name(self._spec))
            raise
        on_line(f"Slurm job {number} is submitted: {script}")
        return job

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        """Submit the job, or take up the one that is noted, and follow it to its end; see `Runner.run`.

        A job that was detached goes on when this is stopped, any other is cancelled. Raises GbenchError: of ENDS.
        """
        job = job_of_its_own(run_dir) or self.submit(run_dir, on_line)
        following = Following(self._spec, run_dir, job, on_line)
        try:
            outcome = following.to_the_end()
        except Interrupted:
            following.left = job.detached and not following.over
            if not following.left:
                following.cancel()
            raise
        except BaseException:
            following.cancel()
            raise
        finally:
            following.note()
        return outcome


@dataclass
class Following:
    """One job, followed by its state and its output."""

    spec: RunSpec
    run_dir: Path
    job: SlurmJob
    on_line: Callable[[str], None]
    over: bool = False
    """The job has ended, is cancelled, or is left."""
    left: bool = False
    """It may go on, for another gbench to take up."""
    seen: JobState | None = None
    rest: bytes = b""
    """The beginning of a line of its output."""

    def __post_init__(self) -> None:
        self.queued_s, self.read_bytes = self.job.submitted_s, self.job.log_bytes
        self.began_s = self.answered_s = time.monotonic()
        self.asked_s = -math.inf

    def to_the_end(self) -> Outcome:
        """Pass on its output until it ends; its exit code. Raises GbenchError: of ENDS, or Slurm does not answer."""
        while True:
            self.relay()
            if self.is_time_to_ask():
                try:
                    state = slurm_commands.state_of_job(self.job.job)
                except NoAnswer as error:
                    self.require_answers(error)
                else:
                    self.answered_s = time.monotonic()
                    if state is None:
                        return self.forgotten()
                    preempted = state.preempted or (self.seen is not None and self.seen.preempted)
                    self.show(state)
                    if state.ended:
                        return self.ended(state, preempted)
            time.sleep(LOOK_S)

    def is_time_to_ask(self) -> bool:
        """Whether to ask the controller again: soon after the start and the script's end, otherwise seldom."""
        now_s = time.monotonic()
        pause_s = min(ASK_S, 1 + (now_s - self.began_s) / 30)
        due = now_s - self.asked_s >= (LOOK_S if (self.run_dir / ENDED).exists() else pause_s)
        if due:
            self.asked_s = now_s
        return due

    def require_answers(self, why: NoAnswer) -> None:
        """Raises InfrastructureError: Slurm has been silent for too long. The job may still run, so it is left."""
        if time.monotonic() - self.answered_s <= SILENT_S:
            return
        self.over = self.left = True
        raise InfrastructureError(
            f"Slurm has not answered for {SILENT_S / 60:g} minutes ({why}); job {self.job.job} may still run",
            f"take it up with {attach_command(self.run_dir)}",
        )

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
        limit_s = slurm_of(self.spec).queue_timeout_s
        if now.held:
            raise failure("REQUEUED", job, now, "")
        if now.waits and limit_s is not None and time.time() - self.queued_s > limit_s:
            raise failure("PENDING", job, now, f"{limit_s:g}s")

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
            return Outcome(int((self.run_dir / ENDED).read_text(encoding="ascii")))
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"Slurm does not know job {self.job.job} any more, and the job left no exit code",
                f"see how it ended with `sacct -j {self.job.job}`",
            ) from error

    def relay(self) -> None:
        """Pass on the new whole lines of its output."""
        with suppress(OSError), (self.run_dir / OUTPUT).open("rb") as file:
            file.seek(self.read_bytes + len(self.rest))
            *lines, self.rest = (self.rest + file.read()).split(b"\n")
            for line in lines:
                self.read_bytes += len(line) + 1
                self.on_line(line.decode("utf-8", errors="replace"))

    def cancel(self) -> None:
        """Cancel the job, unless it is over, and wait until it has ended."""
        if self.over:
            return
        self.over = True
        until_s = time.monotonic() + ENDING_S
        while time.monotonic() < until_s:
            with suppress(NoAnswer, InfrastructureError):
                slurm_commands.cancel(job_name(self.spec))
                state = slurm_commands.state_of_job(self.job.job)
                if state is None or state.ended:
                    break
            time.sleep(LOOK_S)
        else:
            with suppress(InfrastructureError):
                self.on_line(f"warning: Slurm job {self.job.job} has not ended {ENDING_S:g} s after it was cancelled")
        with suppress(InfrastructureError):
            self.relay()

    def note(self) -> None:
        """Note for another gbench how far this one came. A full disk must not hide why the run ended."""
        with suppress(InfrastructureError):
            self.job.model_copy(update={"log_bytes": self.read_bytes, "ended": not self.left}).write(self.run_dir)
