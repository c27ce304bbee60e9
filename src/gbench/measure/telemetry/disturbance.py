"""Which steps ran while a GPU was throttled, and why. Pure functions of steps and samples.

The bits are NVML's clocks-event reasons (nvml.h; "throttle reasons" before driver 535).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbench.base.cpu_list import ranges
from gbench.measure.telemetry.sample_columns import Floats, Samples, Timed
from gbench.measure.telemetry.samples import GAP_S
from gbench.runfolder.telemetry_result import Disturbance

REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
BITS = {name: bit for bit, name in REASONS.items()}
# Reasons that slow the device down. The others are settings of its owner, or normal states.
LIMITING = 0x004 | 0x008 | 0x020 | 0x040 | 0x080


def throttle_names(bits: int) -> list[str]:
    """The reasons in a bit mask, lowest bit first; an unknown reason as its number."""
    set_bits = [1 << place for place in range(bits.bit_length()) if bits >> place & 1]
    return [REASONS.get(bit, f"0x{bit:x}") for bit in set_bits]


Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class StepMarks:
    """Throttling of the GPUs during each step."""

    reasons: dict[str, Bools]
    """Such as `gpu 1: sw_power_cap`, for any GPU of the run, as all ranks wait for the slowest: the steps with it."""
    observed: Bools
    """Whether samples cover the whole step and have the reasons of every GPU; always false without GPUs."""

    @property
    def disturbed(self) -> Bools:
        """Whether throttling was observed."""
        disturbed: Bools = np.any([np.zeros(len(self.observed), bool), *self.reasons.values()], axis=0)
        return disturbed

    @property
    def clean(self) -> Bools:
        """Whether the step is known to be undisturbed."""
        return self.observed & ~self.disturbed


def mark_disturbed(steps: Timed, samples: Samples) -> StepMarks:
    """The marks of steps. Steps and samples must be sorted by time.

    A sample represents the time that is nearer to it than to its neighbours, up to GAP_S / 2 away. A step is marked by
    every sample whose time overlaps it.
    """
    starts_s, ends_s = _stretches(samples.t_s)
    step_starts_s = steps.end_s - steps.step_s
    first = np.maximum.accumulate(np.searchsorted(ends_s, step_starts_s, "right"))
    last = np.maximum(np.searchsorted(starts_s, steps.end_s, "left"), first)

    def overlapping(chosen: Bools) -> NDArray[np.int64]:
        """How many of the chosen samples overlap each step."""
        before = np.concatenate([[0], np.cumsum(chosen)])
        counts: NDArray[np.int64] = before[last] - before[first]
        return counts

    complete = np.full(len(samples), bool(samples.gpus))
    reasons = {}
    for number, gpu in enumerate(samples.gpus):
        bits = np.zeros(len(samples), np.int64)
        bits[gpu["throttle_bits"].places] = gpu["throttle_bits"].values & LIMITING
        complete &= np.isin(np.arange(len(samples)), gpu["throttle_bits"].places)
        for name in throttle_names(int(np.bitwise_or.reduce(bits))):
            found = overlapping((bits & BITS[name]) > 0) > 0
            reasons.update({f"gpu {number}: {name}": found} if found.any() else {})
    return StepMarks(reasons, _covered(step_starts_s, steps.end_s, (starts_s, ends_s), (first, last), complete))


def disturbance(marks: StepMarks, first_step: int = 1) -> Disturbance:
    """Summarise marks: which steps, how many, and the reasons. first_step: number of the first step."""
    steps, disturbed = len(marks.observed), marks.disturbed
    seen = bool((marks.observed | disturbed).any())
    return Disturbance(
        steps=steps,
        marked_steps=ranges((np.flatnonzero(disturbed) + first_step).tolist()),
        marked_share=int(disturbed.sum()) / steps if seen else None,
        unobserved_share=int((~marks.observed).sum()) / steps if steps else 0.0,
        share_by_reason={name: int(marks.reasons[name].sum()) / steps for name in sorted(marks.reasons)},
    )


def _stretches(times_s: Floats) -> tuple[Floats, Floats]:
    """Start and end of the time that each sample represents."""
    middles = (times_s[:-1] + times_s[1:]) / 2
    starts_s = np.maximum(times_s - GAP_S / 2, np.concatenate([[-np.inf], middles])[: len(times_s)])
    ends_s = np.minimum(times_s + GAP_S / 2, np.concatenate([middles, [np.inf]])[: len(times_s)])
    return starts_s, ends_s


def _covered(
    step_starts_s: Floats,
    step_ends_s: Floats,
    stretches: tuple[Floats, Floats],
    overlapping: tuple[NDArray[np.int64], NDArray[np.int64]],
    complete: Bools,
) -> Bools:
    """Whether complete samples cover the whole of a step, each beginning where the one before it ends.

    overlapping: for each step the first of its samples, and the one after its last.
    """
    (starts_s, ends_s), (first, last) = stretches, overlapping
    whole: Bools = step_starts_s >= step_ends_s
    some = np.flatnonzero(first < last)
    first, last = first[some], last[some] - 1
    broken = np.concatenate([[True], ~complete[1:] | (starts_s[1:] > ends_s[:-1])])
    breaks = np.cumsum(broken[: len(complete)])
    whole[some] |= (
        complete[first]
        & (starts_s[first] <= step_starts_s[some])
        & (breaks[last] == breaks[first])
        & (ends_s[last] >= step_ends_s[some])
    )
    return whole
