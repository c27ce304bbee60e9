"""The `kubernetes` runner: the run script in a TrainJob of Kubeflow Trainer, followed from this host until it ends.

The run folder is on a volume claim. `kubernetes_manifest.py` describes the job, `kubernetes_states.py` says how each
end of a job is reported, `kubernetes_fetch.py` brings the run folder here, and `following.py` has what this shares with
Slurm.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gbench.errors import InfrastructureError
from gbench.runners.cluster_job import ClusterJob
from gbench.runners.following import ClusterRunner, Following, NoAnswer, attach_command
from gbench.runners.kubernetes_api import LOGIN, Cluster, Refused
from gbench.runners.kubernetes_fetch import fetch
from gbench.runners.kubernetes_manifest import OF_THE_JOB, RUNS, job_of, train_job
from gbench.runners.kubernetes_states import COMPLETE, DEADLINE, ENDS, EXITED, TrainJobState, state_of
from gbench.runners.plan import Outcome
from gbench.settings.spec import RunSpec

LOG_S = 2.0  # between looks at the log
OVERLAP_S = 5  # of two looks


class FollowingKubernetes(Following):
    """One TrainJob."""

    scheduler = "the cluster's API"

    def __init__(self, spec: RunSpec, run_dir: Path, job: ClusterJob, on_line: Callable[[str], None]) -> None:
        super().__init__(spec, run_dir, job, on_line)
        self.cluster = Cluster()
        self.log_time = job.log_time
        self.seen: TrainJobState | None = None
        self.read_s = -math.inf
        """When its log was read last, on the monotonic clock."""

    def progress(self) -> dict[str, Any]:
        return {"log_time": self.log_time}

    def place(self) -> str:
        return self.cluster.name

    def relay(self) -> None:
        if time.monotonic() - self.read_s >= LOG_S:
            self.read_log()

    def read_log(self) -> None:
        """Pass on the new lines of node 0. Raises NoAnswer."""
        if self.seen is None or not self.seen.first:
            return
        now_s = time.monotonic()
        since_s = None if math.isinf(self.read_s) else math.ceil(now_s - self.read_s) + OVERLAP_S
        try:
            lines = self.cluster.log(self.seen.first, since_s)
        except Refused:  # its pod is gone, or it may not be read: `ask` says so
            return
        self.read_s = now_s
        for line in lines:
            written, _, text = line.partition(" ")
            if written > self.log_time:
                self.log_time = written
                self.on_line(text)

    def ask(self) -> Outcome | None:
        """See `Following.ask`. Raises GbenchError: of ENDS, or the API refuses to answer."""
        job = self.job.job
        try:
            found = self.cluster.job(job)
            if found is None:
                self.require_its_cluster()
                return self.failed("Deleted")
            state = state_of(found, self.cluster.pods(f"{OF_THE_JOB}={job}"))
        except Refused as error:
            if error.status in LOGIN:
                self.leave(error.what)
            raise
        self.show(state)
        if not state.end:
            return None
        self.read_log()
        if state.end in ENDS:
            return self.failed(state.end)
        if state.end == EXITED:
            self.fetch_what_there_is()
            return self.closed(Outcome(state.exit_code))
        assert state.end == COMPLETE
        try:
            fetch(self.cluster, self.spec, self.run_dir, remove=True)
        except InfrastructureError as error:
            self.over = self.left = True
            hint = f"{error.hint}; fetch it with {attach_command(self.run_dir)}"
            raise InfrastructureError(f"TrainJob {job} is complete, but {error.what}", hint) from error
        return self.closed(Outcome(0))

    def show(self, now: TrainJobState) -> None:
        """Print a new state. Raises GbenchError: it waits for too long."""
        before, self.seen = self.seen, now
        if now.waits and not now.end:
            if before is None or before.reason != now.reason:
                self.on_line(f"TrainJob {self.job.job} waits: {now.reason}")
            if self.waits_too_long():
                raise self.failure("Pending")
        elif not now.waits and (before is None or before.waits):
            self.on_line(f"TrainJob {self.job.job} runs on {now.nodes}")

    def failed(self, end: str) -> Outcome:
        """Raises GbenchError: the one of ENDS, when what there is of the run folder has come."""
        if self.seen is None or not self.seen.waits:
            self.fetch_what_there_is()
        self.closed(Outcome(1))
        raise self.failure(end)

    def failure(self, end: str) -> Exception:
        seen = self.seen or TrainJobState(waits=True, reason="", nodes="")
        limit_s = self.spec.timeout_s if end == DEADLINE else self.queue_limit_s
        known = {"job": self.job.job, "nodes": seen.nodes or "none", "reason": seen.reason}
        return ENDS[end].to_raise(**known, limit=f"{limit_s or 0:g}s")

    def fetch_what_there_is(self) -> None:
        """Fetch the run folder of a job that failed, if possible: why it failed is worth more than its files."""
        try:
            fetch(self.cluster, self.spec, self.run_dir, remove=False)
        except (InfrastructureError, NoAnswer) as error:
            what = error.what if isinstance(error, InfrastructureError) else error
            self.on_line(f"warning: the run folder stays on the claim, in {RUNS}/{self.spec.run_id} ({what})")

    def closed(self, outcome: Outcome) -> Outcome:
        """Delete the job, which has ended."""
        self.over = True
        with suppress(NoAnswer, InfrastructureError):
            self.cluster.delete_job(self.job.job)
        return outcome

    def request_end(self) -> bool:
        self.cluster.delete_job(self.job.job)
        return self.cluster.job(self.job.job) is None and not self.cluster.pods(f"{OF_THE_JOB}={self.job.job}")


class KubernetesRunner(ClusterRunner):
    """Submits the run script as a TrainJob, and follows it."""

    following = FollowingKubernetes

    def describe(self) -> dict[str, Any]:
        return train_job(self._spec)

    def prepare(self, on_line: Callable[[str], None]) -> None:
        """Find the cluster; see `Runner.prepare`."""
        Cluster()

    def facts(self) -> dict[str, Any]:
        return {"runner": "kubernetes", "image": self._spec.image}

    def submit(self, run_dir: Path, on_line: Callable[[str], None], detached: bool = False) -> ClusterJob:
        """Create the TrainJob, and note it. Raises InfrastructureError: the cluster refuses it, or does not answer."""
        cluster, name = Cluster(), job_of(self._spec)
        job = ClusterJob(
            scheduler="kubernetes", job=name, submitted_s=time.time(), detached=detached, cluster=cluster.name
        )
        try:
            cluster.create_job(train_job(self._spec))
            job.write(run_dir)
        except Refused as error:
            raise _not_taken(error, cluster.namespace, name) from error
        except BaseException as error:  # stopped in between: it may be there
            with suppress(NoAnswer, InfrastructureError):
                cluster.delete_job(name)
            if isinstance(error, NoAnswer):
                raise InfrastructureError(
                    f"the cluster's API did not take the job ({error})", "see `kubectl cluster-info`, then try again"
                ) from error
            raise
        on_line(f"TrainJob {name} is submitted to the namespace {cluster.namespace}")
        return job


def _not_taken(error: Refused, namespace: str, name: str) -> InfrastructureError:
    """Why the cluster refuses a job."""
    if error.status == 404:
        return InfrastructureError(
            f"the cluster knows no TrainJob in the namespace {namespace} ({error.what})",
            "install Kubeflow Trainer 2.2 or later there, or choose another context",
        )
    if error.status == 409:
        return InfrastructureError(f"the cluster has a TrainJob {name} already ({error.what})", "launch it again")
    return error
