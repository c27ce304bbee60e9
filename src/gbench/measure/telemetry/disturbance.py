"""Which steps ran while a GPU was held back, and by what. Pure functions over steps and samples.

The bits are NVML's clocks-event reasons (nvml.h; "throttle reasons" before driver 535).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from gbench.base.cpu_list import ranges
from gbench.measure.telemetry.samples import GAP_S, Sample, Timed
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
# The device would have run faster but for these. The others are its owner's settings, or its normal state.
LIMITING = 0x004 | 0x008 | 0x020 | 0x040 | 0x080


def throttle_names(bits: int) -> list[str]:
    """The reasons in a bit mask, lowest bit first; one that is not known by its number."""
    set_bits = [1 << place for place in range(bits.bit_length()) if bits >> place & 1]
    return [REASONS.get(bit, f"0x{bit:x}") for bit in set_bits]


@dataclass(frozen=True)
class StepMark:
    """What held the GPUs back during one step.

    reasons: e.g. `gpu 1: sw_power_cap`, of any GPU of the run: all ranks wait for the slowest. observed: whether
    samples cover the whole step and tell the reasons of every GPU; without GPUs never.
    """

    reasons: tuple[str, ...]
    observed: bool

    @property
    def disturbed(self) -> bool:
        """Whether anything was seen that held a GPU back."""
        return bool(self.reasons)

    @property
    def clean(self) -> bool:
        """Whether it is known that nothing did."""
        return self.observed and not self.reasons


def mark_disturbed(steps: Sequence[Timed], samples: Sequence[Sample]) -> list[StepMark]:
    """One mark a step, in the order given; steps and samples must be in order of time.

    A sample stands for the time that is nearer to it than to its neighbours, GAP_S / 2 away from it at most; a step is
    marked by every sample whose time it shares.
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
    """Which of the steps are marked, how many, and by what. first_step: the number of the first one."""
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
    """The time that each sample stands for."""
    times = [sample.t_s for sample in samples]
    middles = [(before + after) / 2 for before, after in pairwise(times)]
    starts = [max(t_s - GAP_S / 2, middle) for t_s, middle in zip(times, [-inf, *middles], strict=False)]
    ends = [min(t_s + GAP_S / 2, middle) for t_s, middle in zip(times, [*middles, inf], strict=False)]
    return list(zip(starts, ends, strict=True))


def _limits(sample: Sample) -> tuple[list[str], bool]:
    """What held GPUs back at a sample, and whether every GPU's reasons were readable (without GPUs: no)."""
    bits = [gpu.throttle_bits for gpu in sample.gpus]
    names = [
        f"gpu {number}: {name}"
        for number, some in enumerate(bits)
        if some is not None
        for name in throttle_names(some & LIMITING)
    ]
    return names, bool(bits) and None not in bits
