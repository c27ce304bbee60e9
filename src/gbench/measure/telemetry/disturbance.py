"""Which steps ran while a GPU was throttled, and why. Pure functions of steps and samples.

The bits are NVML's clocks-event reasons (nvml.h; "throttle reasons" before driver 535).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from gbench.base.cpu_list import ranges
from gbench.measure.telemetry.samples import GAP_S, Sample
from gbench.runfolder.steps import Step
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
# Reasons that slow the device down. The others are settings of its owner, or normal states.
LIMITING = 0x004 | 0x008 | 0x020 | 0x040 | 0x080


def throttle_names(bits: int) -> list[str]:
    """The reasons in a bit mask, lowest bit first; an unknown reason as its number."""
    set_bits = [1 << place for place in range(bits.bit_length()) if bits >> place & 1]
    return [REASONS.get(bit, f"0x{bit:x}") for bit in set_bits]


@dataclass(frozen=True)
class StepMark:
    """Throttling of the GPUs during one step."""

    reasons: tuple[str, ...]
    """Such as `gpu 1: sw_power_cap`, for any GPU of the run, as all ranks wait for the slowest."""
    observed: bool
    """Whether samples cover the whole step and have the reasons of every GPU; always false without GPUs."""

    @property
    def disturbed(self) -> bool:
        """Whether throttling was observed."""
        return bool(self.reasons)

    @property
    def clean(self) -> bool:
        """Whether the step is known to be undisturbed."""
        return self.observed and not self.reasons


def mark_disturbed(steps: Sequence[Step], samples: Sequence[Sample]) -> list[StepMark]:
    """One mark per step. Steps and samples must be sorted by time.

    A sample represents the time that is nearer to it than to its neighbours, up to GAP_S / 2 away. A step is marked by
    every sample whose time overlaps it.
    """
    stretches = _stretches(samples)
    seen = [_limits(sample) for sample in samples]
    marks: list[StepMark] = []
    first = 0
    for step in steps:
        start_s = step.end_s - step.step_s
        while first < len(samples) and stretches[first][1] <= start_s:
            first += 1
        reasons: set[str] = set()
        covered_s, last = start_s, first
        while last < len(samples) and stretches[last][0] < step.end_s:
            names, complete = seen[last]
            if complete and stretches[last][0] <= covered_s:
                covered_s = stretches[last][1]
            reasons.update(names)
            last += 1
        marks.append(StepMark(tuple(sorted(reasons)), observed=covered_s >= step.end_s))
    return marks


def disturbance(marks: Sequence[StepMark], first_step: int = 1) -> Disturbance:
    """Summarise marks: which steps, how many, and the reasons. first_step: number of the first step."""
    seen = any(mark.observed or mark.disturbed for mark in marks)
    names = sorted({reason for mark in marks for reason in mark.reasons})
    return Disturbance(
        steps=len(marks),
        marked_steps=ranges(number for number, mark in enumerate(marks, first_step) if mark.disturbed),
        marked_share=sum(mark.disturbed for mark in marks) / len(marks) if seen else None,
        unobserved_share=sum(not mark.observed for mark in marks) / len(marks) if marks else 0.0,
        share_by_reason={name: sum(name in mark.reasons for mark in marks) / len(marks) for name in names},
    )


def _stretches(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Start and end of the time that each sample represents."""
    times = [sample.t_s for sample in samples]
    middles = [(before + after) / 2 for before, after in pairwise(times)]
    starts = [max(t_s - GAP_S / 2, middle) for t_s, middle in zip(times, [-inf, *middles], strict=False)]
    ends = [min(t_s + GAP_S / 2, middle) for t_s, middle in zip(times, [*middles, inf], strict=False)]
    return list(zip(starts, ends, strict=True))


def _limits(sample: Sample) -> tuple[list[str], bool]:
    """The throttle reasons in a sample, and whether those of every GPU were readable (without GPUs: false)."""
    bits = [gpu.throttle_bits for gpu in sample.gpus]
    names = [
        f"gpu {number}: {name}"
        for number, some in enumerate(bits)
        if some is not None
        for name in throttle_names(some & LIMITING)
    ]
    return names, bool(bits) and None not in bits
