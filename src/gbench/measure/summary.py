"""Statistics of a run: a pure function of its run folder.

The headline counts images over the wall time of synchronised steps, data loading included, by the slowest rank's clock,
after the warm-up. Nothing here knows pix2pix; whatever losses the steps carry are averaged by name.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from gbench.runfolder import RunFolder, Step


@dataclass(frozen=True)
class Summary:
    """What `result.json` says. Times in seconds, throughputs in images a second over all devices.

    complete: the run did all the steps it set out to do. steps: measured ones, after the warm-up. step_mean_s,
    step_variance_s2 (sample variance): of the slowest rank's step times. throughput_img_s: data loading included;
    throughput_without_data_img_s: the same images over the time without waiting for data. losses: means over the
    measured steps of all ranks; last_epoch_losses: over those of the last epoch.
    """

    complete: bool
    ranks: int
    warmup_steps: int
    steps: int
    images: int
    wall_s: float
    throughput_img_s: float
    throughput_without_data_img_s: float
    step_mean_s: float
    step_median_s: float
    step_variance_s2: float
    data_share: float
    losses: dict[str, float]
    last_epoch_losses: dict[str, float]


def summarize(ranks: list[list[Step]], expected_steps: int | None) -> Summary | None:
    """Statistics over the step streams of all ranks (outer list: ranks); None when no measured step is there.

    A rank that got further than another counts only as far as all got. expected_steps: how many the run set out to do,
    warm-up included; None when that is not known.
    """
    common = min((len(steps) for steps in ranks), default=0)
    measured = [[step for step in steps[:common] if not step.warmup] for steps in ranks]
    if not measured or not measured[0]:
        return None
    walls = [sum(step.step_s for step in steps) for steps in measured]
    slowest = measured[walls.index(max(walls))]
    wall_s, data_s = max(walls), sum(step.data_s for step in slowest)
    last_epoch = slowest[-1].epoch
    images = sum(step.images for steps in measured for step in steps)
    times = [step.step_s for step in slowest]
    return Summary(
        complete=common == expected_steps,
        ranks=len(ranks),
        warmup_steps=common - len(slowest),
        steps=len(slowest),
        images=images,
        wall_s=wall_s,
        throughput_img_s=images / wall_s,
        throughput_without_data_img_s=images / (wall_s - data_s),
        step_mean_s=statistics.fmean(times),
        step_median_s=statistics.median(times),
        step_variance_s2=statistics.variance(times) if len(times) > 1 else 0.0,
        data_share=data_s / wall_s,
        losses=_mean_losses([step for steps in measured for step in steps]),
        last_epoch_losses=_mean_losses([step for steps in measured for step in steps if step.epoch == last_epoch]),
    )


def summarize_folder(folder: RunFolder) -> Summary | None:
    """`summarize` of a run folder's own streams."""
    spec = folder.spec()
    environment = folder.read("environment.json") or {}
    ranks = [list(folder.steps(rank)) for rank in range(spec.world_size)]
    return summarize(ranks, environment.get("planned_steps"))


def _mean_losses(steps: list[Step]) -> dict[str, float]:
    return {name: statistics.fmean(step.losses[name] for step in steps) for name in steps[0].losses}
