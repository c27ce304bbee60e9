"""A run folder as a line of a list: its state, headline and verdict."""

import os
from dataclasses import dataclass
from pathlib import Path

from gbench.base.faults import as_expected
from gbench.cndb.from_run import record_of
from gbench.convergence.subjects import verdict_of_run
from gbench.errors import GbenchError, InfrastructureError, RunFailed
from gbench.runfolder.evaluation_result import Evaluation, read_evaluation, read_final
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.state import state_of
from gbench.runfolder.step_profile import read_profile
from gbench.runfolder.tuning_result import read_tuning
from gbench.runfolder.typed_json import UNUSABLE
from gbench.settings.spec import RunSpec
from gbench.settings.switches import written

HEADINGS = ("run", "state", "kind", "batch", "on", "prec.", "headline", "verdict")


@dataclass(frozen=True)
class RunRow:
    """A run. Strings are empty for what is unknown."""

    path: str
    state: str
    """As `state_of` says; or `damaged`."""
    kind: str = ""
    """Its recipe."""
    batch_size: int | None = None
    device_count: int | None = None
    precision: str = ""
    headline: str = ""
    verdict: str = ""
    """Of a convergence run on its reproduction, of other runs on what bounds the speed."""
    problem: str = ""
    """Which file is damaged, and how."""
    hint: str = ""
    """What to do about that."""

    @property
    def cells(self) -> list[str]:
        counts = ["-" if count is None else str(count) for count in (self.batch_size, self.device_count)]
        verdict = self.verdict.partition(":")[0] or self.problem
        texts = (Path(self.path).name, self.state, self.kind, *counts, self.precision, self.headline, verdict)
        return [text or "-" for text in texts]


def row_of(path: Path) -> RunRow:
    """The row of a run folder, which may be damaged."""
    folder = RunFolder(path)
    try:
        spec, state, result = folder.spec(), state_of(folder), folder.result()
        _require_readable(folder, spec.world_size if result and state == "complete" else 0)
        return RunRow(
            str(path),
            state,
            spec.recipe,
            spec.batch_size,
            spec.device_count,
            spec.precision,
            _headline(folder, spec, result),
            _verdict(folder, spec, state, result),
        )
    except (GbenchError, OSError) as error:
        if (expected := as_expected(error)) is None:
            raise
        return RunRow(str(path), "damaged", problem=expected.what.replace(f"{path}{os.sep}", ""), hint=expected.hint)


def _require_readable(folder: RunFolder, ranks: int) -> None:
    """Raises InfrastructureError: a file can't be read, or a rank's steps are gone. They are not read."""
    if problems := folder.unreadable():
        raise InfrastructureError(problems[0], UNUSABLE)
    folder.environment()
    for rank in range(ranks):
        path = folder.stream(rank)
        if not path.exists() or path.stat().st_size == 0:
            raise InfrastructureError(f"{path} is missing or empty", "restore it: its raw samples are gone")


def _headline(folder: RunFolder, spec: RunSpec, result: RunResult | None) -> str:
    if spec.recipe == "tuning":
        tuning = read_tuning(folder)
        return "" if tuning is None else written(tuning.speed.on, prefix="") or "no switch pays"
    if spec.recipe == "profile":
        profile = read_profile(folder)
        return "" if profile is None else f"{profile.step_s:.4g} s a step"
    evaluation = read_evaluation(folder) if spec.recipe == "evaluation" else read_final(folder)
    quality = "" if evaluation is None else _quality(evaluation)
    if result is None:
        return quality or _reported(folder)
    interval = result.throughput_interval
    width = f" ±{interval.half_width_share:.1%}" if interval else ""
    return f"{result.throughput_img_s:.4g} img/s{width}  {quality}".rstrip()


def _quality(evaluation: Evaluation) -> str:
    means = {name: one.mean for name, one in evaluation.metrics.items()}
    return "  ".join(f"{name} {mean:.4g}" for name, mean in means.items() if mean is not None)


def _reported(folder: RunFolder) -> str:
    """The throughput that the run's own script reported, if it did."""
    if not folder.has(folder.benchmark_log.name):
        return ""
    try:
        figures = record_of(folder).perf_data or {}
    except RunFailed:
        return ""
    return f"{figures.get('throughput', '')} {figures.get('throughput_unit', '')}".strip()


def _verdict(folder: RunFolder, spec: RunSpec, state: str, result: RunResult | None) -> str:
    if spec.recipe == "convergence":
        return verdict_of_run(folder)[0] if state == "complete" else ""
    return result.limits.verdict if result and result.limits else ""
