"""What the runners of clusters share: submit a job, follow its state and its output to its end, leave it or end it."""

import math
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from gbench.errors import InfrastructureError, Interrupted
from gbench.runners.cluster_job import ClusterJob, job_of_its_own
from gbench.runners.plan import Outcome
from gbench.settings.spec import RunSpec

LOOK_S = 0.5  # between looks at the output
ASK_S = 10.0  # longest time between questions to the scheduler; shorter in the first minutes
SILENT_S = 600.0  # a scheduler that restarts
ENDING_S = 300.0  # from the request to end a job, or the script's last line, to the end of the job


class NoAnswer(Exception):
    """A scheduler does not answer for now: it is down or busy."""


class NotHere(InfrastructureError):
    """This host lacks what asks the scheduler, so nothing is known of the job."""


def attach_command(run_dir: Path) -> str:
    """The command that takes up a job."""
    return shlex.join(["gbench", "launch", "--attach", str(run_dir)])


class Following(ABC):
    """One job, followed by its state and its output."""

    scheduler: ClassVar[str]
    """What answers questions, for a sentence."""

    def __init__(self, spec: RunSpec, run_dir: Path, job: ClusterJob, on_line: Callable[[str], None]) -> None:
        self.spec, self.run_dir, self.job, self.on_line = spec, run_dir, job, on_line
        self.over = False
        """The job has ended, is cancelled, or is left."""
        self.left = False
        """It may go on, or has something to fetch, for another gbench to take up."""
        self.queued_s = job.submitted_s
        self.began_s = self.answered_s = time.monotonic()
        self.asked_s = -math.inf

    @abstractmethod
    def relay(self) -> None:
        """Pass on the new whole lines of its output. Raises NoAnswer."""

    @abstractmethod
    def ask(self) -> Outcome | None:
        """Look at its state; its exit code if it has ended by itself. Raises NoAnswer, GbenchError: how it ended."""

    @abstractmethod
    def request_end(self) -> bool:
        """Ask for its end; whether it has ended. Raises NoAnswer, InfrastructureError: that is not possible."""

    @abstractmethod
    def progress(self) -> dict[str, Any]:
        """Fields of its ClusterJob: how much of its output is passed on."""

    @abstractmethod
    def place(self) -> str:
        """The cluster that answers here; empty: it does not say."""

    def require_its_cluster(self) -> None:
        """Raises InfrastructureError: the cluster that does not know the job is another one, so the job is left."""
        here = self.place() if self.job.cluster else ""
        if here and here != self.job.cluster:
            self.leave(f"{self.job.title} is of cluster {self.job.cluster}, and {here} answers here")

    def hurries(self) -> bool:
        """Whether its end is near, so that its state changes soon."""
        return False

    def to_the_end(self) -> Outcome:
        """Pass on its output until it ends; its exit code. Raises GbenchError: as `ask`, or nothing answers."""
        while True:
            try:
                self.relay()
                outcome = self.look() if self.is_time_to_ask() else None
            except NoAnswer as error:
                self.require_answers(error)
            except NotHere as error:
                self.leave(error.what)
            else:
                if outcome is not None:
                    return outcome
            time.sleep(LOOK_S)

    def look(self) -> Outcome | None:
        outcome = self.ask()
        self.answered_s = time.monotonic()
        return outcome

    def is_time_to_ask(self) -> bool:
        """Whether to ask the scheduler again: soon after the start and near the end, otherwise seldom."""
        now_s = time.monotonic()
        pause_s = min(ASK_S, 1 + (now_s - self.began_s) / 30)
        due = now_s - self.asked_s >= (LOOK_S if self.hurries() else pause_s)
        if due:
            self.asked_s = now_s
        return due

    def require_answers(self, why: NoAnswer) -> None:
        """Raises InfrastructureError: it has been silent for too long. The job may still run, so it is left."""
        if time.monotonic() - self.answered_s > SILENT_S:
            self.leave(f"{self.scheduler} has not answered for {SILENT_S / 60:g} minutes ({why})")

    def leave(self, why: str) -> None:
        """Raises InfrastructureError: the job can't be followed any more, and may still run."""
        self.over = self.left = True
        take_up = f"take it up with {attach_command(self.run_dir)}"
        raise InfrastructureError(f"{why}; {self.job.title} may still run", take_up)

    @property
    def queue_limit_s(self) -> float | None:
        """--queue-timeout."""
        return self.spec.cluster.queue_timeout_s if self.spec.cluster else None

    def waits_too_long(self) -> bool:
        """Whether a job that waits does so for longer than --queue-timeout."""
        return self.queue_limit_s is not None and time.time() - self.queued_s > self.queue_limit_s

    def cancel(self) -> None:
        """End the job, unless it is over, and wait until it has ended. One of which that is not known is left."""
        if self.over:
            return
        self.over = True
        until_s, why = time.monotonic() + ENDING_S, ""
        while time.monotonic() < until_s:
            try:
                if self.request_end():
                    break
                why = f"it has not ended {ENDING_S:g} s after it was cancelled"
            except (NoAnswer, InfrastructureError) as error:
                why = f"{self.scheduler} did not say within {ENDING_S:g} s that it has ended ({error})"
            time.sleep(LOOK_S)
        else:
            self.left = True
            with suppress(InfrastructureError):
                self.on_line(f"warning: {self.job.title} may still run: {why}; end it with {self.job.end_command}")
        with suppress(NoAnswer, InfrastructureError):
            self.relay()

    def note(self) -> None:
        """Note for another gbench how far this one came. A full disk must not hide why the run ended."""
        with suppress(InfrastructureError):
            self.job.model_copy(update={**self.progress(), "ended": not self.left}).write(self.run_dir)


class ClusterRunner(ABC):
    """Submits the run script as a job, and follows it."""

    following: ClassVar[type[Following]]

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """See `Runner.describe`."""

    @abstractmethod
    def prepare(self, on_line: Callable[[str], None]) -> None:
        """See `Runner.prepare`."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """How the job runs on its nodes; see `Runner.facts`."""

    @abstractmethod
    def submit(self, run_dir: Path, on_line: Callable[[str], None], detached: bool = False) -> ClusterJob:
        """Submit the job, and note it. Raises InfrastructureError: it is refused."""

    def with_spec(self, spec: RunSpec) -> "ClusterRunner":
        """For another spec; see `Runner.with_spec`."""
        return type(self)(spec)

    def run(self, run_dir: Path, on_line: Callable[[str], None]) -> Outcome:
        """Submit the job, or take up the one that is noted, and follow it to its end; see `Runner.run`.

        A job that was detached goes on when this is stopped, any other is ended. Raises GbenchError: how it ended.
        """
        job = job_of_its_own(run_dir) or self.submit(run_dir, on_line)
        following = self.following(self._spec, run_dir, job, on_line)
        try:
            return following.to_the_end()
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
