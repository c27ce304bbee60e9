"""The data of a run's page, read from its run folder, whether the run finished or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gbench.base.paths import SPEC
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.errors import RunFailed
from gbench.measure.summary import measured_spec, summarize
from gbench.measure.telemetry.reader import read_stream
from gbench.measure.telemetry.sample_columns import Telemetry
from gbench.measure.telemetry.stream import NAME as TELEMETRY_NAME
from gbench.reports.text import capitalized
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.error_file import read_error
from gbench.runfolder.evaluation_result import final_of
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.step_columns import Steps
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class RunData:
    """The content of a run folder."""

    path: Path
    spec: RunSpec
    host: HostFacts
    """Empty, as `environment`, if the run did not write it."""
    environment: EnvironmentFacts
    ranks: list[Steps]
    """The steps by rank; empty for a rank that wrote none."""
    telemetry: Telemetry
    summary: RunResult | None
    """None without a measured step."""
    reported: Record | None
    """From its run script's benchmark log line, if the record is made from that; or from `unverified`."""
    unverified: str | None
    """The file that `reported` is from, if gbench's own worker measured and the raw samples are gone."""
    problems: list[str]
    """Sentences on what is missing or failed."""

    @classmethod
    def read(cls, folder: RunFolder) -> RunData:
        """Read a run folder. Raises InfrastructureError: broken or none; RunFailed: a profile or a tuning."""
        spec = measured_spec(folder)
        host, environment = folder.host(), folder.environment()
        ranks = folder.ranks()
        telemetry = read_stream(folder.path / TELEMETRY_NAME)
        summary = summarize(ranks, environment, telemetry, spec.schedule, best=host.best_peak)
        reported, problems = None, [*_ending(folder, host), *folder.unreadable()]
        own_script = spec.recipe == "custom" or folder.has(folder.benchmark_log.name)
        if summary is None or own_script:
            try:
                reported = record_of(folder)
            except RunFailed as error:
                problems.append(str(error) if own_script else "It ended before its first measured step")
        unverified = None
        if summary is None and reported is not None and not folder.has(folder.benchmark_log.name):
            if folder.has("result.json"):
                unverified = "result.json"
            elif spec.recipe != "custom":
                unverified = folder.log.name
        if unverified is not None:
            problems.append(f"Its raw samples are gone; the figures are those of {unverified}, which can't be verified")
        if summary is not None and not summary.complete:
            problems.append(_progress(summary, environment.planned_steps))
        return cls(folder.path, spec, host, environment, ranks, telemetry, summary, reported, unverified, problems)

    @property
    def status(self) -> str:
        """The outcome: complete, incomplete or failed."""
        if not self.problems:
            return "complete"
        return "failed" if self.host.exit_code or self.host.failure else "incomplete"

    @property
    def warmup_steps(self) -> int:
        """Steps at the start that the statistics exclude."""
        if self.summary is not None:
            return self.summary.warmup_steps
        return max((int(steps.warmup.sum()) for steps in self.ranks), default=0)

    @property
    def measured(self) -> list[Steps]:
        """The steps in the statistics, by rank; empty if there are none."""
        if self.summary is None:
            return []
        first = self.summary.warmup_steps
        return [steps[first : first + self.summary.steps] for steps in self.ranks]

    @property
    def precision(self) -> str:
        """The precision that ran, or the requested one if that is unknown."""
        if self.reported is not None:
            return self.reported.train_type or "not said"
        precision = self.environment.precision_at_end or self.environment.precision
        return precision.ran if precision else f"{self.spec.precision} requested"

    @property
    def devices(self) -> str:
        if self.reported is not None:
            return f"{self.reported.dev_num} × {self.reported.dev}"
        return f"{self.spec.world_size} × {self.environment.device or self.spec.device}"


def _ending(folder: RunFolder, host: HostFacts) -> list[str]:
    """Sentences on how the run ended; empty if it succeeded."""
    error, exit_code = read_error(folder), host.exit_code
    if error is not None:
        return [f"{error.what}; {error.hint}"]
    if host.failure is not None:
        return [capitalized(host.failure)]
    if host.ended_utc is None:
        return ["It is still running" if folder.alive else "Its end was not seen: it was killed together with gbench"]
    if exit_code is None:
        return ["It was stopped before its run script ended"]
    if exit_code:
        return [f"Its run script ended with exit code {exit_code}"]
    final = final_of(folder)
    return [f"Evaluation: {end}" for end in _ending(final, final.host())] if final.has(SPEC) else []


def _progress(summary: RunResult, planned_steps: int | None) -> str:
    done = summary.warmup_steps + summary.steps
    if planned_steps is None:
        return f"It did {done} steps; how many it set out to do is not known"
    return f"It did {done} of {planned_steps} steps; the figures are those of the steps it did"
