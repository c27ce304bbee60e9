"""Statistics of a run: a pure function of its run folder.

The headline counts images over the wall time of steps, data loading included, by the slowest rank's clock, after the
warm-up. Nothing here knows pix2pix; whatever losses the steps carry are averaged by name.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

from gbench.errors import RunFailed
from gbench.measure.bootstrap import throughput_interval
from gbench.measure.bounds import limits
from gbench.measure.job import job_of
from gbench.measure.spread import spread
from gbench.measure.steady_state import judge_ranks
from gbench.measure.telemetry.disturbance import disturbance, mark_disturbed
from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.samples import Telemetry, Window
from gbench.measure.telemetry.stream import NAME as TELEMETRY_NAME
from gbench.measure.telemetry.stream import read_attempts
from gbench.measure.telemetry.usage import summarize as summarize_telemetry
from gbench.runfolder.environment_facts import DataFacts, EnvironmentFacts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.steps import Step
from gbench.settings.spec import RunSpec
from gbench.settings.switches import describe

LEGACY_STEPS = slice(2, 7)  # launch.sh's printed lines 3 to 7


def summarize(
    ranks: list[list[Step]], environment: EnvironmentFacts, telemetry: Telemetry, max_warmup_steps: int | None = None
) -> RunResult | None:
    """Statistics over the steps that all ranks (outer list) completed; None without a measured one."""
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
    ahead_share = statistics.median(step.ahead_s / step.step_s for step in slowest)
    data = environment.data or DataFacts(source="real")
    return RunResult(
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
        limits=limits(environment, images / wall_s / len(ranks), data_s / wall_s, ahead_share),
        energy=used,
        joules_per_image=used.joules_per_image(images),
        memory=environment.memory,
        telemetry=summarize_telemetry(telemetry, window) if telemetry.header else None,
        losses=mean_losses([step for steps in whole for step in steps[least:]]),
        last_epoch_losses=mean_losses(last_epoch(whole)),
    )


def summarize_folder(folder: RunFolder) -> RunResult | None:
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


def with_losses_as_before(folder: RunFolder, summary: RunResult) -> RunResult:
    """The summary as earlier versions made it: losses over the measured steps, which depend on the clock."""
    first = summary.warmup_steps
    measured = [steps[first : first + summary.steps] for steps in folder.ranks()]
    every = [step for steps in measured for step in steps]
    return replace(summary, losses=mean_losses(every), last_epoch_losses=mean_losses(last_epoch(measured)))


def measured_spec(folder: RunFolder) -> RunSpec:
    """The spec of a run. Raises RunFailed: it is a profile, whose profiler takes time itself, or a tuning."""
    spec = folder.spec()
    if spec.profiling is not None:
        raise RunFailed(f"{folder.path} is a profile: what it took is no measurement", "measure with gbench launch")
    if spec.tuning is not None:
        raise RunFailed(
            f"{folder.path} is a tuning: its trials are no run", "read its tuning.json, or measure with gbench launch"
        )
    return spec


def _rate(steps: Sequence[Step], images: Sequence[int], chosen: Sequence[bool]) -> float | None:
    """Images per second over the chosen steps."""
    seconds = sum(step.step_s for step in compress(steps, chosen))
    return sum(compress(images, chosen)) / seconds if seconds else None


def _legacy(steps: Sequence[Step], ranks: int) -> float | None:
    """Throughput as in launch.sh: 1 / mean seconds per image of rank 0's LEGACY_STEPS, from batch to step end."""
    taken = steps[LEGACY_STEPS]
    if len(taken) < LEGACY_STEPS.stop - LEGACY_STEPS.start:
        return None
    return 1 / statistics.fmean((step.step_s - step.data_s - step.between_s) / (step.images * ranks) for step in taken)


def printed_means(folder: RunFolder) -> dict[str, float]:
    """The original's result: means over the printed lines of the last epoch; over all its steps if none was printed.

    Raises RunFailed: a rank has no step.
    """
    if not all(ranks := folder.ranks()):
        raise RunFailed(f"the raw samples of {folder.path} are gone", "give its record")
    every, steps = folder.spec().config.schedule.print_every, last_epoch(ranks)
    return mean_losses([step for step in steps if step.step % every == 0] or steps)


def last_epoch(ranks: Sequence[Sequence[Step]]) -> list[Step]:
    return [step for steps in ranks for step in steps if step.epoch == ranks[0][-1].epoch]


def mean_losses(steps: Sequence[Step]) -> dict[str, float]:
    return {name: statistics.fmean(step.losses[name] for step in steps) for name in steps[0].losses}
