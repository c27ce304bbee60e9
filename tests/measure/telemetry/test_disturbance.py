"""Which steps are marked, for given steps and samples."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gbench.measure.telemetry.disturbance import disturbance, mark_disturbed, throttle_names
from gbench.measure.telemetry.samples import GpuSample, Sample

IDLE, SETTING, POWER_CAP, HW, SYNC, SW_THERMAL, HW_THERMAL, BRAKE = (1 << place for place in range(8))


@dataclass(frozen=True)
class Step:
    end_s: float
    step_s: float


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
    assert mark_disturbed([Step(0.1, 0.1)], [sample(0.05, bits)])[0].disturbed


@pytest.mark.parametrize("bits", [IDLE, SETTING, SYNC, 0x100, 0x400])
def test_what_does_not_leaves_a_step_clean(bits: int) -> None:
    assert mark_disturbed([Step(0.1, 0.1)], [sample(0.05, bits)])[0].clean


def test_a_sample_marks_what_is_nearest_to_it() -> None:
    samples = [sample(0.5, 0), sample(1.5, HW), sample(2.5, 0)]
    marks = mark_disturbed(steps_of(0.25, 12), samples)
    assert [number for number, mark in enumerate(marks) if mark.disturbed] == [4, 5, 6, 7]  # 1 s to 2 s
    assert all(mark.observed for mark in marks)
    assert disturbance(marks, first_step=31).marked_steps == "35-38"


def test_a_long_step_has_the_reasons_of_all_its_samples() -> None:
    marks = mark_disturbed([Step(3.0, 3.0)], [sample(0.5, HW), sample(1.5, 0), sample(2.5, POWER_CAP)])
    assert marks[0].reasons == ("gpu 0: hw_slowdown", "gpu 0: sw_power_cap")


def test_any_gpu_of_the_run_marks() -> None:
    assert mark_disturbed([Step(0.1, 0.1)], [sample(0.05, 0, BRAKE)])[0].reasons == ("gpu 1: hw_power_brake_slowdown",)


def test_a_gpu_that_can_not_be_read_hides_nothing_of_the_others() -> None:
    marks = mark_disturbed(steps_of(1.0, 2), [sample(0.5, None, HW), sample(1.5, None, 0)])
    assert [(mark.disturbed, mark.observed, mark.clean) for mark in marks] == [
        (True, False, False),
        (False, False, False),
    ]


def test_steps_far_from_any_sample_are_not_taken_for_clean() -> None:
    """The sampler died at 2 s; a sample represents one second before and after it."""
    samples = [sample(second, 0) for second in (0.0, 1.0, 2.0)]
    marks = mark_disturbed(steps_of(0.5, 10), samples)
    assert [mark.clean for mark in marks] == [True] * 6 + [False] * 4
    found = disturbance(marks)
    assert (found.marked_share, found.unobserved_share) == (0.0, pytest.approx(0.4))


def test_a_step_over_a_hole_is_not_observed() -> None:
    samples = [sample(0.0, 0), sample(10.0, 0)]
    assert not mark_disturbed([Step(10.5, 10.5)], samples)[0].observed


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
