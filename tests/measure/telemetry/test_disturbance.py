"""Which steps are marked, for given steps and samples."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from gbench.measure.telemetry.disturbance import StepMarks, disturbance, throttle_names
from gbench.measure.telemetry.disturbance import mark_disturbed as mark_columns
from gbench.measure.telemetry.sample_columns import Floats, Samples
from gbench.measure.telemetry.samples import GpuSample, Sample

IDLE, SETTING, POWER_CAP, HW, SYNC, SW_THERMAL, HW_THERMAL, BRAKE = (1 << place for place in range(8))


class Step(NamedTuple):
    end_s: float
    step_s: float


@dataclass(frozen=True)
class Steps:
    end_s: Floats
    step_s: Floats


def mark_disturbed(steps: Sequence[Step], samples: Sequence[Sample]) -> StepMarks:
    ends_s, lengths_s = np.array(steps, dtype=float).reshape(-1, 2).T
    return mark_columns(Steps(ends_s, lengths_s), Samples.of(samples))


def sample(t_s: float, *bits: int | None) -> Sample:
    return Sample(t_s, 0.0, 0.0, gpus=[GpuSample(throttle_bits=some) for some in bits])


def steps_of(step_s: float, count: int) -> list[Step]:
    return [Step((number + 1) * step_s, step_s) for number in range(count)]


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0, []),
        (1, ["gpu_idle"]),
        (0x48, ["hw_slowdown", "hw_thermal_slowdown"]),
        (0x84, ["sw_power_cap", "hw_power_brake_slowdown"]),
        (0x10_0000, ["0x100000"]),
    ],
)
def test_reasons_have_names(bits: int, names: list[str]) -> None:
    assert throttle_names(bits) == names


@pytest.mark.parametrize("bits", [POWER_CAP, HW, SW_THERMAL, HW_THERMAL, BRAKE])
def test_what_holds_a_gpu_back_marks(bits: int) -> None:
    assert mark_disturbed([Step(0.1, 0.1)], [sample(0.05, bits)]).disturbed.all()


@pytest.mark.parametrize("bits", [IDLE, SETTING, SYNC, 0x100, 0x400])
def test_what_does_not_leaves_a_step_clean(bits: int) -> None:
    assert mark_disturbed([Step(0.1, 0.1)], [sample(0.05, bits)]).clean.all()


def test_a_sample_marks_what_is_nearest_to_it() -> None:
    samples = [sample(0.5, 0), sample(1.5, HW), sample(2.5, 0)]
    marks = mark_disturbed(steps_of(0.25, 12), samples)
    assert np.flatnonzero(marks.disturbed).tolist() == [4, 5, 6, 7]  # 1 s to 2 s
    assert marks.observed.all()
    assert disturbance(marks, first_step=31).marked_steps == "35-38"


def test_a_long_step_has_the_reasons_of_all_its_samples() -> None:
    marks = mark_disturbed([Step(3.0, 3.0)], [sample(0.5, HW), sample(1.5, 0), sample(2.5, POWER_CAP)])
    assert sorted(marks.reasons) == ["gpu 0: hw_slowdown", "gpu 0: sw_power_cap"]


def test_any_gpu_of_the_run_marks() -> None:
    assert list(mark_disturbed([Step(0.1, 0.1)], [sample(0.05, 0, BRAKE)]).reasons) == [
        "gpu 1: hw_power_brake_slowdown"
    ]


def test_a_gpu_that_can_not_be_read_hides_nothing_of_the_others() -> None:
    marks = mark_disturbed(steps_of(1.0, 2), [sample(0.5, None, HW), sample(1.5, None, 0)])
    assert list(zip(marks.disturbed, marks.observed, marks.clean, strict=True)) == [
        (True, False, False),
        (False, False, False),
    ]


def test_steps_far_from_any_sample_are_not_taken_for_clean() -> None:
    """The sampler died at 2 s; a sample represents one second before and after it."""
    samples = [sample(second, 0) for second in (0.0, 1.0, 2.0)]
    marks = mark_disturbed(steps_of(0.5, 10), samples)
    assert marks.clean.tolist() == [True] * 6 + [False] * 4
    found = disturbance(marks)
    assert (found.marked_share, found.unobserved_share) == (0.0, pytest.approx(0.4))


def test_a_step_over_a_hole_is_not_observed() -> None:
    samples = [sample(0.0, 0), sample(10.0, 0)]
    assert not mark_disturbed([Step(10.5, 10.5)], samples).observed.any()


def test_on_cpu_nothing_is_said() -> None:
    found = disturbance(mark_disturbed(steps_of(0.1, 5), [sample(0.0), sample(0.5)]))
    assert (found.marked_share, found.unobserved_share, found.share_by_reason) == (None, 1.0, {})


def test_without_samples_or_steps_nothing_is_said() -> None:
    assert disturbance(mark_disturbed(steps_of(0.1, 5), [])).unobserved_share == 1.0
    assert disturbance(mark_disturbed([], [sample(0.0, HW)])).marked_share is None


def test_marked_steps_are_named_by_their_numbers() -> None:
    samples = [sample(0.5 + second, HW if second in (0, 1, 2, 4, 7) else 0) for second in range(8)]
    assert disturbance(mark_disturbed(steps_of(1.0, 8), samples)).marked_steps == "1-3, 5, 8"
    assert disturbance(mark_disturbed(steps_of(1.0, 8), samples[3:4])).marked_steps == ""


def test_marks_are_those_of_every_sample_that_overlaps() -> None:
    """Drawn steps and samples, with gaps and unreadable ones, against the definition."""
    draw = random.Random(1)
    times = sorted(draw.uniform(0, 60) for _ in range(150))
    samples = [sample(t_s, draw.choice([0, 0, HW, POWER_CAP, None]), draw.choice([0, BRAKE])) for t_s in times]
    ends = sorted(draw.uniform(0, 62) for _ in range(300))
    steps = [Step(end, draw.uniform(0.2, 1) * (end - before)) for before, end in pairwise([0.0, *ends])]
    middles = [-math.inf, *((one + other) / 2 for one, other in pairwise(times)), math.inf]
    spans = [(max(t - 1, low), min(t + 1, high)) for t, (low, high) in zip(times, pairwise(middles), strict=True)]
    marks = mark_disturbed(steps, samples)
    for number, step in enumerate(steps):
        begin = covered = step.end_s - step.step_s
        names = set()
        for (start, end), one in zip(spans, samples, strict=True):
            if start < step.end_s and end > begin:
                bits = [gpu.throttle_bits for gpu in one.gpus]
                names |= {f"gpu {gpu}: {name}" for gpu, some in enumerate(bits) for name in throttle_names(some or 0)}
                covered = end if None not in bits and start <= covered else covered
        assert {name for name, found in marks.reasons.items() if found[number]} == names
        assert marks.observed[number] == (covered >= step.end_s)
