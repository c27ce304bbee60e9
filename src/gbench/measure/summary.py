"""Statistics of a run: a pure function of its run folder.

The headline counts images over the wall time of steps, data loading included, by the slowest rank's clock, after the
warm-up. Nothing here knows pix2pix; whatever losses the steps carry are averaged by name.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from gbench.errors import RunFailed
from gbench.measure.bootstrap import Interval, throughput_interval
from gbench.measure.bounds import Limits, limits
from gbench.measure.job import Job, job_of
from gbench.measure.spread import Spread, spread
from gbench.measure.steady_state import judge_ranks
from gbench.measure.telemetry.disturbance import Disturbance, disturbance, mark_disturbed
from gbench.measure.telemetry.energy import Energy, energy
from gbench.measure.telemetry.samples import Telemetry, Window
from gbench.measure.telemetry.stream import NAME as TELEMETRY_NAME
from gbench.measure.telemetry.stream import read_attempts
from gbench.measure.telemetry.usage import TelemetrySummary
from gbench.measure.telemetry.usage import summarize as summarize_telemetry
from gbench.runfolder.environment_facts import DataFacts, EnvironmentFacts
from gbench.runfolder.folder import RunFolder, Step
from gbench.settings.spec import RunSpec
from gbench.settings.switches import describe

THROUGHPUT_IS = {  # by data_source
    "real": "end to end, data loading included",
    "cached": "end to end, on pictures decoded before the run",
    "resident": "end to end, on pictures laid on the devices before the run",
    "synthetic": "of computing alone, on one batch of noise",
}
LEGACY_STEPS = slice(2, 7)  # launch.sh's printed lines 3 to 7


@dataclass(frozen=True)
class Summary:
    """What `result.json` says. Times in seconds, throughputs in images a second over all devices, shares of 1.

    complete: the run came to the end it had set itself. data_source: where batches came from (`real`: every picture
    decoded in the run); data_source_reason: why not from where they were asked for. steps, images, wall_s: measured,
    after the warm-up, by the clock of the rank that was slowest from there on. warmup_steps: at least those that the
    spec leaves out, and those before the step times settled; steady_state: whether they did, said in words beside it.

    throughput_img_s: the headline, THROUGHPUT_IS, with its 95 % interval; without_data: the same images over
    the time without data wait; clean: over the steps known to be undisturbed (None where that is not known); legacy: as
    launch.sh took it, from steps 3 to 7 of the run, computing alone (None for a shorter run).

    data_share: of the wall time, in which the device stood idle for want of a batch; between_share: for readings, log
    lines and checkpoints, between a step's end and asking for the next batch.

    step: spread of the slowest rank's step times, step_variance_s2 their sample variance. memory: peaks of each rank
    (those of the first step where a run died). losses: means over the measured steps of all ranks; last_epoch_losses:
    over those of the last epoch. job: what a convergence run took in all, its first steps and its starts included.
    profile: with the switches that were on.
    """

    complete: bool
    data_source: str
    data_source_reason: str | None
    ranks: int
    warmup_steps: int
    steady_state: bool
    steady_state_reason: str
    steps: int
    images: int
    wall_s: float
    throughput_img_s: float
    throughput_interval: Interval | None
    throughput_without_data_img_s: float
    throughput_clean_img_s: float | None
    throughput_legacy_img_s: float | None
    step: Spread
    step_variance_s2: float
    data_share: float
    between_share: float
    disturbance: Disturbance
    limits: Limits | None
    energy: Energy
    joules_per_image: float | None
    memory: list[dict[str, int]] | None
    telemetry: TelemetrySummary | None
    losses: dict[str, float]
    last_epoch_losses: dict[str, float]
    job: Job | None = None
    profile: str = "reference"

    @property
    def throughput_is(self) -> str:
        """What the headline is a figure of, in words."""
        return THROUGHPUT_IS.get(self.data_source, f"with data that are {self.data_source}")


def summarize(
    ranks: list[list[Step]], environment: EnvironmentFacts, telemetry: Telemetry, max_warmup_steps: int | None = None
) -> Summary | None:
    """Statistics over the step streams of all ranks (outer list: ranks); None when no measured step is there.

    A rank that got further than another counts only as far as all got. max_warmup_steps: most that warm-up may take;
    None: half of the run.
    """
    common = min((len(steps) for steps in ranks), default=0)
    whole = [steps[:common] for steps in ranks]
    least = sum(step.warmup for step in whole[0]) if whole else 0
    if common <= least:
        return None
    steady, slowest_rank = judge_ranks([[step.step_s for step in steps] for steps in whole], least, max_warmup_steps)
    measured = [steps[steady.warmup_steps :] for steps in whole]
    slowest = measured[slowest_rank]
    times = [step.step_s for step in slowest]
    wall_s, data_s = sum(times), sum(step.data_s for step in slowest)
    step_images = [sum(steps) for steps in zip(*([step.images for step in steps] for steps in measured), strict=True)]
    images = sum(step_images)
    marks = mark_disturbed(slowest, telemetry.samples)
    window = Window.of(slowest)
    used = energy(telemetry, window)
    data = environment.data or DataFacts(source="real")
    return Summary(
        complete=environment.ended is not None and environment.ended.steps == common,
        data_source=data.source,
        data_source_reason=data.because,
        ranks=len(ranks),
        warmup_steps=steady.warmup_steps,
        steady_state=steady.settled,
        steady_state_reason=steady.reason,
        steps=len(slowest),
        images=images,
        wall_s=wall_s,
        throughput_img_s=images / wall_s,
        throughput_interval=throughput_interval(times, step_images),
        throughput_without_data_img_s=images / (wall_s - data_s),
        throughput_clean_img_s=_rate(slowest, step_images, [mark.clean for mark in marks]),
        throughput_legacy_img_s=_legacy(whole[0], len(ranks)),
        step=spread(times),
        step_variance_s2=statistics.variance(times) if len(times) > 1 else 0.0,
        data_share=data_s / wall_s,
        between_share=sum(step.between_s for step in slowest) / wall_s,
        disturbance=disturbance(marks, slowest[0].step),
        limits=limits(environment, images / wall_s / len(ranks), data_s / wall_s, _ahead_share(slowest)),
        energy=used,
        joules_per_image=used.joules_per_image(images),
        memory=environment.memory,
        telemetry=summarize_telemetry(telemetry, window) if telemetry.header else None,
        losses=_mean_losses([step for steps in measured for step in steps]),
        last_epoch_losses=_mean_losses(
            [step for steps in measured for step in steps if step.epoch == slowest[-1].epoch]
        ),
    )


def summarize_folder(folder: RunFolder) -> Summary | None:
    """`summarize` of a run folder's own streams. Raises RunFailed: as `measured_spec`."""
    spec = measured_spec(folder)
    environment = folder.environment()
    telemetry = read_attempts(folder.path / TELEMETRY_NAME)
    summary = summarize(folder.ranks(), environment, telemetry[-1], spec.config.schedule.max_warmup_steps)
    if summary is None:
        return None
    summary = replace(summary, profile=describe(spec.profile, spec.config.speed.on))
    if spec.recipe != "convergence":
        return summary
    return replace(summary, job=job_of(folder, telemetry))


def measured_spec(folder: RunFolder) -> RunSpec:
    """The spec of a run. Raises RunFailed: it was profiled, which takes time itself, or is a tuning."""
    spec = folder.spec()
    if spec.profiling is not None:
        raise RunFailed(f"{folder.path} is a profile: what it took is no measurement", "measure with gbench launch")
    if spec.tuning is not None:
        raise RunFailed(
            f"{folder.path} is a tuning: its trials are no run", "read its tuning.json, or measure with gbench launch"
        )
    return spec


def _rate(steps: Sequence[Step], images: Sequence[int], chosen: Sequence[bool]) -> float | None:
    """Images a second over the chosen steps alone."""
    seconds = sum(step.step_s for step in compress(steps, chosen))
    return sum(compress(images, chosen)) / seconds if seconds else None


def _legacy(steps: Sequence[Step], ranks: int) -> float | None:
    """1 / mean seconds an image of the steps that launch.sh took, rank 0's, from a batch at hand to the step's end."""
    taken = steps[LEGACY_STEPS]
    if len(taken) < LEGACY_STEPS.stop - LEGACY_STEPS.start:
        return None
    return 1 / statistics.fmean((step.step_s - step.data_s - step.between_s) / (step.images * ranks) for step in taken)


def _ahead_share(steps: Sequence[Step]) -> float:
    return statistics.median(step.ahead_s / step.step_s for step in steps)


def _mean_losses(steps: list[Step]) -> dict[str, float]:
    return {name: statistics.fmean(step.losses[name] for step in steps) for name in steps[0].losses}
