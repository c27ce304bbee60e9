"""What the two speeds of a run go with, on given steps and samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gbench.measure.modes import speeds_go_with
from gbench.measure.summary import summarize
from gbench.measure.telemetry.sample_columns import Samples, Telemetry
from gbench.measure.telemetry.samples import GpuSample, Header, HostSample, Sample
from gbench.runfolder.environment_facts import EndFacts, EnvironmentFacts
from gbench.runfolder.run_result import Speed
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.steps import Step
from gbench.runfolder.telemetry_result import GpuFacts
from gbench.settings.model_config import ScheduleConfig

FAST, SLOW = 0.1, 0.112
# Stretches of 30 steps at each speed in turn, with 0.1 % of noise
TIMES = [speed for _ in range(4) for speed in [FAST] * 30 + [SLOW] * 30]
SPEEDS = [Speed(FAST, 120), Speed(SLOW, 120)]


def steps_of(data_of_slow_s: float = 0.0) -> Steps:
    noise = np.random.default_rng(1).normal(0, 1e-3, len(TIMES))
    times = [seconds * (1 + float(one)) for seconds, one in zip(TIMES, noise, strict=True)]
    ends = itertools.accumulate(times)
    return Steps.of(
        Step(n, 1, 4, data_of_slow_s * (slow == SLOW), seconds, end, 0.0, warmup=False, losses={})
        for n, (seconds, end, slow) in enumerate(zip(times, ends, TIMES, strict=True), 1)
    )


def samples_of(steps: Steps, mhz: int = 1410, celsius: int = 60, steal: float = 0.0, gpus: int = 1) -> Samples:
    """A sample in the middle of every step; in slow ones the last GPU and the host are as given."""
    samples = []
    for step, speed in zip(steps, TIMES, strict=True):
        slow = speed == SLOW
        clocks = [mhz if slow and gpu == gpus - 1 else 1410 for gpu in range(gpus)]
        seen = [GpuSample(sm_mhz=clock, temperature_c=celsius if slow else 60) for clock in clocks]
        host = HostSample(steal_percent=steal if slow else 0.0)
        samples.append(Sample(step.end_s - step.step_s / 2, 0.0, 0.0, seen, host))
    return Samples.of(samples)


def test_the_clock_is_named_with_both_its_values() -> None:
    steps = steps_of()
    words = speeds_go_with(steps, samples_of(steps, mhz=1260), SPEEDS)
    assert words == "the GPU clock (1410 MHz in fast steps, 1260 in slow ones)"
    of_two = speeds_go_with(steps, samples_of(steps, mhz=1260, gpus=2), SPEEDS)
    assert of_two == "the GPU 1 clock (1410 MHz in fast steps, 1260 in slow ones)"


@pytest.mark.parametrize(
    ("mhz", "celsius", "steal", "words"),
    [
        (1410, 75, 0.0, "the GPU temperature (60 °C in fast steps, 75 in slow ones)"),
        (1410, 60, 12.0, "the CPU time taken by other virtual machines (0 % in fast steps, 12 in slow ones)"),
        (1409, 61, 0.5, "nothing that was measured"),
    ],
)
def test_other_quantities(mhz: int, celsius: int, steal: float, words: str) -> None:
    steps = steps_of()
    assert speeds_go_with(steps, samples_of(steps, mhz, celsius, steal), SPEEDS) == words


def test_waits_need_no_telemetry_and_make_up_the_difference() -> None:
    assert speeds_go_with(steps_of(0.012), Samples.of([]), SPEEDS).startswith("the data wait (0 s in fast steps, 0.012")
    assert speeds_go_with(steps_of(0.001), Samples.of([]), SPEEDS) == "nothing that was measured"


@pytest.mark.parametrize("levels", [(0.01, 0.02), (1.0, 2.0)])
def test_speeds_of_which_the_steps_have_one_go_with_nothing(levels: tuple[float, float]) -> None:
    speeds = [Speed(level, 1) for level in levels]
    assert speeds_go_with(steps_of(0.012), Samples.of([]), speeds) == "nothing in the measured steps"


def test_a_run_at_two_speeds_says_what_they_go_with() -> None:
    steps = steps_of()
    telemetry = Telemetry(Header(10.0, "", gpus=[GpuFacts("0")]), samples_of(steps, mhz=1260))
    found = summarize([steps], EnvironmentFacts(ended=EndFacts(steps=240)), telemetry, ScheduleConfig())
    assert found is not None and not found.steady_state
    assert "speeds seen: " in found.steady_state_reason
    assert found.steady_state_reason.endswith(
        "; the speeds go with the GPU clock (1410 MHz in fast steps, 1260 in slow ones)"
    )
