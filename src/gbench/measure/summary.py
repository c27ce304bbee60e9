"""Statistics of a run: a pure function of its run folder.

The headline counts images over the wall time of steps, data loading included, by the slowest rank's clock, after the
warm-up. Nothing here knows pix2pix; whatever losses the steps carry are averaged by name.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbench.errors import RunFailed
from gbench.measure.bootstrap import throughput_interval
from gbench.measure.bounds import limits
from gbench.measure.exchange import exchange_of, with_gradients
from gbench.measure.job import job_of
from gbench.measure.measured_steps import MeasuredSteps, Periods, measured_steps
from gbench.measure.modes import speeds_go_with
from gbench.measure.rank_waits import last_ranks, on_one_clock, pace_rank, rank_waits
from gbench.measure.spread import spread, total, variance
from gbench.measure.steady_state import judge_ranks
from gbench.measure.telemetry.disturbance import disturbance, mark_disturbed
from gbench.measure.telemetry.energy import energy
from gbench.measure.telemetry.reader import read_attempts
from gbench.measure.telemetry.sample_columns import Telemetry, Window
from gbench.measure.telemetry.stream import NAME as TELEMETRY_NAME
from gbench.measure.telemetry.usage import summarize as summarize_telemetry
from gbench.runfolder.environment_facts import DataFacts, EnvironmentFacts
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import BestPeak
from gbench.runfolder.run_result import FirstReading, RunResult
from gbench.runfolder.step_columns import Steps, steps_that_count
from gbench.runfolder.telemetry_result import TelemetrySummary
from gbench.settings.model_config import ScheduleConfig
from gbench.settings.spec import RunSpec
from gbench.settings.switches import describe

STATISTICS = 3  # the rule of new results: `RunResult.statistics`
LEGACY_STEPS = slice(2, 7)  # launch.sh's printed lines 3 to 7


def summarize(
    ranks: Sequence[Steps],
    environment: EnvironmentFacts,
    telemetry: Telemetry,
    schedule: ScheduleConfig,
    rule: int = STATISTICS,
    best: BestPeak | None = None,
) -> RunResult | None:
    """Statistics over the steps that all ranks (outer list) completed; None without a measured one.

    schedule: its max_warmup_steps and checkpoint_every. rule: `RunResult.statistics`. best: as of `limits`.
    """
    common = min((len(steps) for steps in ranks), default=0)
    whole = [steps[:common] for steps in ranks]
    least = int(whole[0].warmup.sum()) if whole else 0
    if common <= least:
        return None
    step_s = [steps.step_s for steps in whole]
    first = _by_first_rule(step_s, least, schedule.max_warmup_steps)
    if rule == 1:
        return _result(whole, environment, telemetry, least, first, rule, best)
    periods = Periods.of(environment.steps_per_epoch, schedule.checkpoint_every)
    found = measured_steps(step_s, least, schedule.max_warmup_steps, periods)
    result = _result(whole, environment, telemetry, least, found, rule, best)
    measured = [steps[found.first :] for steps in whole]
    waits, reason = rank_waits(measured), found.reason
    if not found.steady.settled and len(found.steady.speeds) > 1:
        what = speeds_go_with(_of_last_ranks(measured), telemetry.samples, found.steady.speeds)
        reason += f"; the speeds go with {what}"
    return replace(
        result,
        steady_state_reason=reason,
        statistics=rule,
        epochs_seen=periods.epoch and result.steps / periods.epoch,
        checkpoint_periods_seen=periods.checkpoint and result.steps / periods.checkpoint,
        cycle_steps=found.cycle,
        drift=found.steady.drift,
        speeds=found.steady.speeds,
        first_reading=_first_reading(whole, first),
        rank_waits=with_gradients(waits, environment, measured),
        pace_rank=pace_rank(waits),
    )


def _by_first_rule(step_s: Sequence[NDArray[np.float64]], least: int, maximum: int | None) -> MeasuredSteps:
    steady, slowest = judge_ranks(step_s, least, maximum)
    return MeasuredSteps(steady, steady.warmup_steps, slowest, None)


def _first_reading(whole: Sequence[Steps], chosen: MeasuredSteps) -> FirstReading:
    measured = [steps[chosen.first :] for steps in whole]
    times, images = measured[chosen.slowest_rank].step_s, _images(measured)
    return FirstReading(
        warmup_steps=chosen.first,
        steady_state=chosen.steady.settled,
        steps=len(times),
        throughput_img_s=int(images.sum()) / total(times),
        throughput_interval=throughput_interval(times, images),
    )


def _of_last_ranks(ranks: Sequence[Steps]) -> Steps:
    """Each step as the rank had it that began to compute last in it."""
    last, places = last_ranks(ranks), np.arange(len(ranks[0]))
    names = ("data_s", "step_s", "ahead_s", "between_s")
    columns: dict[str, Any] = {name: np.stack([getattr(one, name) for one in ranks])[last, places] for name in names}
    return replace(ranks[0], **columns)


def _images(ranks: Sequence[Steps]) -> NDArray[np.int64]:
    """Of each step, over all ranks."""
    return np.asarray(np.sum([steps.images for steps in ranks], axis=0), dtype=np.int64)


def _result(
    whole: Sequence[Steps],
    environment: EnvironmentFacts,
    telemetry: Telemetry,
    least: int,
    chosen: MeasuredSteps,
    rule: int,
    best: BestPeak | None,
) -> RunResult:
    """The figures of a run. whole: of each rank, as many steps. least: steps of the warm-up in the spec.

    rule: by the first one, waits are those of the slowest rank; else of the rank that began to compute last in a step.
    """
    measured = [steps[chosen.first :] for steps in whole]
    slowest = measured[chosen.slowest_rank]
    times = slowest.step_s
    waiting = slowest if rule == 1 else _of_last_ranks(measured)
    wall_s, data_s = total(times), total(waiting.data_s)
    step_images = _images(measured)
    images = int(step_images.sum())
    marks = mark_disturbed(slowest, telemetry.samples)
    window = Window.of(slowest)
    used = energy(telemetry, window)
    usage = summarize_telemetry(telemetry, window) if telemetry.header else None
    ahead_share = float(np.median(waiting.ahead_s / waiting.step_s))
    data = environment.data or DataFacts(source="real")
    exchange = exchange_of(environment, measured)
    return RunResult(
        complete=environment.ended is not None and environment.ended.steps == len(whole[0]),
        data_source=data.source,
        data_source_reason=data.because,
        ranks=len(whole),
        warmup_steps=chosen.first,
        steady_state=chosen.steady.settled,
        steady_state_reason=chosen.reason,
        steps=len(slowest),
        images=images,
        wall_s=wall_s,
        throughput_img_s=images / wall_s,
        throughput_interval=throughput_interval(times, step_images, cycle=chosen.cycle),
        throughput_without_data_img_s=images / (wall_s - data_s),
        throughput_clean_img_s=_rate(times[marks.clean], step_images[marks.clean]),
        throughput_legacy_img_s=_legacy(whole[0], len(whole)),
        step=spread(times) if rule > 2 else spread(times, tail=1),
        step_variance_s2=variance(times) if len(times) > 1 else 0.0,
        data_share=data_s / wall_s,
        between_share=total(waiting.between_s) / wall_s,
        disturbance=disturbance(marks, int(slowest.step[0])),
        limits=limits(
            environment,
            images / wall_s / len(whole),
            data_s / wall_s,
            ahead_share,
            rule,
            _per_cpu(usage, images / wall_s),
            best,
            exchange,
        ),
        energy=used,
        joules_per_image=used.joules_per_image(images),
        memory=environment.memory,
        telemetry=usage,
        losses=mean_losses([steps[least:] for steps in whole]),
        last_epoch_losses=mean_losses(last_epoch(whole)),
        exchange=exchange,
    )


def summarize_folder(folder: RunFolder, rule: int = STATISTICS) -> RunResult | None:
    """`summarize` of a run folder's own streams. Raises RunFailed: as `measured_spec`."""
    spec = measured_spec(folder)
    environment = folder.environment()
    telemetry = read_attempts(folder.path / TELEMETRY_NAME)
    attempts = folder.ranks_by_attempt()
    ranks = on_one_clock([steps_that_count(rank) for rank in attempts], spec.devices_per_node)
    summary = summarize(ranks, environment, telemetry[-1], spec.schedule, rule, folder.host().best_peak)
    if summary is None:
        return None
    summary = replace(summary, profile=describe(spec.profile, spec.config.speed.on))
    if spec.nodes > 1:  # the telemetry is of the first node alone
        summary = replace(summary, energy=replace(summary.energy, joules=None, source=None), joules_per_image=None)
    if spec.recipe != "convergence":
        return summary
    return replace(summary, job=job_of(folder, attempts, telemetry))


def with_losses_as_before(folder: RunFolder, summary: RunResult) -> RunResult:
    """The summary as earlier versions made it: losses over the measured steps, which depend on the clock."""
    first = summary.warmup_steps
    measured = [steps[first : first + summary.steps] for steps in folder.ranks()]
    return replace(summary, losses=mean_losses(measured), last_epoch_losses=mean_losses(last_epoch(measured)))


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


def _per_cpu(usage: TelemetrySummary | None, images_s: float) -> float | None:
    """Images a second of processor time; None if nothing says how many CPUs the run kept busy."""
    cpus = usage.host.run_cpus if usage and usage.host else None
    return images_s / cpus if cpus else None


def _rate(times: NDArray[np.float64], images: NDArray[np.int64]) -> float | None:
    """Images per second over these steps."""
    seconds = total(times)
    return int(images.sum()) / seconds if seconds else None


def _legacy(steps: Steps, ranks: int) -> float | None:
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
    every, last = folder.spec().config.schedule.print_every, last_epoch(ranks)
    printed = [steps[steps.step % every == 0] for steps in last]
    return mean_losses(printed if any(map(len, printed)) else last)


def last_epoch(ranks: Sequence[Steps]) -> list[Steps]:
    """The steps of each rank in the last epoch of the first."""
    return [steps[steps.epoch == ranks[0].epoch[-1]] for steps in ranks]


def mean_losses(ranks: Sequence[Steps]) -> dict[str, float]:
    """The mean of each loss over all steps of all ranks."""
    some = [steps for steps in ranks if len(steps)]
    count = sum(map(len, some))
    return {
        name: math.fsum(chain.from_iterable(steps.losses[name].tolist() for steps in some)) / count
        for name in some[0].losses
    }
