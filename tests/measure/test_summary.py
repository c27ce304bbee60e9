"""Throughput arithmetic with fake clocks and given streams, never in real time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gbench.cli.shared.output import summary_lines
from gbench.errors import RunFailed
from gbench.measure.summary import STATISTICS, measured_spec, printed_means, summarize_folder
from gbench.measure.summary import summarize as summarize_run
from gbench.measure.telemetry.sample_columns import Samples, Telemetry
from gbench.measure.telemetry.samples import GpuSample, Header, Sample
from gbench.runfolder.environment_facts import EndFacts, EnvironmentFacts
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.steps import Step
from gbench.runfolder.telemetry_result import GpuFacts
from gbench.settings.model_config import ScheduleConfig
from gbench.settings.spec import ProfileConfig, RunSpec, TuningConfig
from run_folders import write_run


def stream(
    times_s: list[float],
    images: int = 4,
    warmup: int = 0,
    data_s: float = 0.0,
    between_s: float = 0.0,
    **losses: float,
) -> Steps:
    ends = itertools.accumulate(times_s)
    return Steps.of(
        Step(n, 1, images, data_s, seconds, end, 0.0, warmup=n <= warmup, losses=losses, between_s=between_s)
        for n, (seconds, end) in enumerate(zip(times_s, ends, strict=True), 1)
    )


def summarize(ranks: list[Steps], ended: int, max_warmup_steps: int | None = None) -> RunResult | None:
    environment = EnvironmentFacts(ended=EndFacts(steps=ended, because="all steps are done"))
    return summarize_run(ranks, environment, Telemetry(), ScheduleConfig(max_warmup_steps=max_warmup_steps))


def test_ten_steps_of_two_devices_of_batch_four_are_80_img_s() -> None:
    summary = summarize([stream([0.1] * 10)] * 2, ended=10)
    assert summary is not None
    assert summary.throughput_img_s == pytest.approx(80.0)
    assert (summary.images, summary.steps, summary.complete) == (80, 10, True)


def test_the_slowest_ranks_clock_counts() -> None:
    summary = summarize([stream([0.1] * 4), stream([0.2] * 4)], ended=4)
    assert summary is not None
    assert summary.wall_s == pytest.approx(0.8)
    assert summary.throughput_img_s == pytest.approx(32 / 0.8)


def test_the_slowest_rank_is_of_measured_steps_not_of_warm_up() -> None:
    """Rank 0 is the slower one over all steps, by 20 slow ones that are found to be warm-up; rank 1 after them."""
    summary = summarize([stream([0.5] * 20 + [0.10] * 80), stream([0.3] * 20 + [0.11] * 80)], ended=100)
    assert summary is not None
    assert summary.warmup_steps == 20
    assert summary.wall_s == pytest.approx(80 * 0.11)


def test_warm_up_takes_as_many_steps_as_the_bound_allows() -> None:
    times = [0.2] * 40 + [0.1] * 60
    for bound, settled, warmup in ((None, True, 40), (30, False, 30), (70, True, 40)):
        summary = summarize([stream(times)], ended=100, max_warmup_steps=bound)
        assert summary is not None
        assert (summary.steady_state, summary.warmup_steps) == (settled, warmup)


def test_the_bound_of_a_run_is_its_specs(make_spec: Callable[..., RunSpec]) -> None:
    for bound, settled in ((70, True), (30, False)):
        spec = make_spec(settings=[f"schedule.max_warmup_steps={bound}"])
        folder = write_run(spec, steps=100, step_s=lambda step: 0.2 if step <= 60 else 0.1)
        summary = summarize_folder(folder)
        assert summary is not None
        assert (summary.steady_state, summary.warmup_steps) == (settled, min(bound, 60))


def test_warm_up_is_left_out() -> None:
    summary = summarize([stream([9.0, 9.0, 0.1, 0.1], warmup=2)], ended=4)
    assert summary is not None
    assert (summary.warmup_steps, summary.steps) == (2, 2)
    assert summary.throughput_img_s == pytest.approx(40.0)


def test_data_wait_is_inside_the_headline_and_told_apart() -> None:
    summary = summarize([stream([0.1] * 10, data_s=0.02)], ended=10)
    assert summary is not None
    assert summary.throughput_img_s == pytest.approx(40.0)
    assert summary.throughput_without_data_img_s == pytest.approx(50.0)
    assert summary.data_share == pytest.approx(0.2)


def test_work_between_steps_is_in_the_headline_and_no_data_wait() -> None:
    summary = summarize([stream([0.1] * 10, data_s=0.02, between_s=0.03)], ended=10)
    assert summary is not None
    assert summary.throughput_img_s == pytest.approx(40.0)
    assert (summary.data_share, summary.between_share) == (pytest.approx(0.2), pytest.approx(0.3))
    assert summary.throughput_legacy_img_s == pytest.approx(
        4 / 0.05
    )  # launch.sh timed a batch at hand to the step's end


def test_spread_is_the_sample_variance_of_the_step_times() -> None:
    summary = summarize([stream([0.1, 0.2, 0.3])], ended=3)
    assert summary is not None
    assert (summary.step.mean_s, summary.step.median_s) == (pytest.approx(0.2), pytest.approx(0.2))
    assert summary.step_variance_s2 == pytest.approx(0.01)


def test_an_early_end_counts_up_to_the_last_common_step() -> None:
    summary = summarize([stream([0.1] * 7), stream([0.1] * 5)], ended=10)
    assert summary is not None
    assert (summary.steps, summary.complete) == (5, False)


@pytest.mark.parametrize("ranks", [[], [stream([])], [stream([0.1], warmup=1)], [stream([0.1]), stream([])]])
def test_nothing_measured_is_no_summary(ranks: list[Steps]) -> None:
    assert summarize(ranks, ended=1) is None


def test_losses_are_means_of_steps_ranks_and_the_last_epoch() -> None:
    first, second = Step(1, 1, 1, 0, 0.1, 0.1, 0, False, {"L": 1.0}), Step(2, 2, 1, 0, 0.1, 0.2, 0, False, {"L": 3.0})
    other = [Step(1, 1, 1, 0, 0.1, 0.1, 0, False, {"L": 2.0}), Step(2, 2, 1, 0, 0.1, 0.2, 0, False, {"L": 6.0})]
    summary = summarize([Steps.of([first, second]), Steps.of(other)], ended=2)
    assert summary is not None
    assert summary.losses == {"L": pytest.approx(3.0)}
    assert summary.last_epoch_losses == {"L": pytest.approx(4.5)}


def test_mean_losses_do_not_depend_on_the_clock() -> None:
    """Two runs of one seed: in one, the first 20 steps are slow and found to be warm-up."""
    losses = [1.0 / n for n in range(1, 101)]
    runs = []
    for times_s in ([0.1] * 100, [0.5] * 20 + [0.1] * 80):
        steps = replace(stream(times_s, warmup=5), losses={"L": np.array(losses)})
        runs.append(summarize([steps], ended=100))
    fast, slow = runs
    assert fast is not None and slow is not None
    assert (fast.warmup_steps, slow.warmup_steps) == (5, 20)
    assert fast.losses == slow.losses == {"L": pytest.approx(sum(losses[5:]) / 95)}
    assert fast.last_epoch_losses == slow.last_epoch_losses == {"L": pytest.approx(sum(losses) / 100)}


def test_the_legacy_figure_is_of_steps_3_to_7_without_data_wait() -> None:
    times = [9.0, 9.0, 0.3, 0.3, 0.3, 0.3, 0.3, 9.0]
    summary = summarize([stream(times, images=4, warmup=1, data_s=0.1)] * 2, ended=8)
    assert summary is not None
    assert summary.throughput_legacy_img_s == pytest.approx(8 / 0.2)
    short = summarize([stream([0.3] * 6)], ended=6)
    assert short is not None and short.throughput_legacy_img_s is None


def test_the_interval_holds_the_headline() -> None:
    summary = summarize([stream([0.1, 0.11, 0.09, 0.1] * 10)], ended=40)
    assert summary is not None and summary.throughput_interval is not None
    assert summary.throughput_interval.low < summary.throughput_img_s < summary.throughput_interval.high


def test_a_throttled_stretch_is_marked_with_a_clean_throughput() -> None:
    """10 steps of 0.1 s, 5 of 0.2 s with the card hot, 10 of 0.1 s; samples in the middle of every 0.1 s."""
    steps = stream([0.1] * 10 + [0.2] * 5 + [0.1] * 10, images=32, warmup=2)
    samples = [
        Sample(0.05 + 0.1 * n, 0.0, 0.0, [GpuSample(throttle_bits=0x40 if 11 <= n < 19 else 0x0)]) for n in range(30)
    ]
    environment = EnvironmentFacts(ended=EndFacts(steps=25))
    summary = summarize_run(
        [steps], environment, Telemetry(Header(10.0, "", gpus=[GpuFacts("0")]), Samples.of(samples)), ScheduleConfig()
    )
    assert summary is not None and summary.disturbance.marked_share is not None
    assert summary.disturbance.marked_share == pytest.approx(5 / 23)
    assert summary.disturbance.marked_steps == "11-15"
    assert list(summary.disturbance.share_by_reason) == ["gpu 0: hw_thermal_slowdown"]
    assert summary.throughput_img_s == pytest.approx(23 * 32 / 2.8)
    assert summary.throughput_clean_img_s == pytest.approx(320.0)


@pytest.mark.parametrize(
    ("data", "meaning"),
    [
        (None, "end to end, data loading included"),
        ({"source": "real", "asked": "cached", "because": "the disk is full"}, "end to end, data loading included"),
        ({"source": "cached", "asked": "cached", "because": None}, "end to end, on pictures decoded before the run"),
        ({"source": "synthetic", "asked": "synthetic", "because": None}, "of computing alone, on one batch of noise"),
    ],
)
def test_the_headline_says_what_was_loaded_in_it(data: dict[str, str] | None, meaning: str) -> None:
    environment = EnvironmentFacts.model_validate({"ended": {"steps": 4}, "data": data})
    summary = summarize_run([stream([0.1] * 4, G_L1=1.0)], environment, Telemetry(), ScheduleConfig())
    assert summary is not None
    assert summary.throughput_is == meaning
    lines = [f"{name:<14}{text}" for name, text in summary_lines(summary)]
    assert lines[0] == f"throughput    40 img/s {meaning}"
    told = [line.split(maxsplit=1)[1] for line in lines if line.startswith("data ")]
    expected = {None: [], "real": ["real: the disk is full"]}
    assert told == expected.get(data and data["source"], [data and data["source"]])


def summarized(times_s: list[float], rule: int = STATISTICS, checkpoint_every: int = 0) -> RunResult:
    """A run with epochs of 40 steps."""
    environment = EnvironmentFacts(ended=EndFacts(steps=len(times_s)), steps_per_epoch=40)
    schedule = ScheduleConfig(checkpoint_every=checkpoint_every)
    found = summarize_run([stream(times_s, warmup=5, L=1.0)], environment, Telemetry(), schedule, rule)
    assert found is not None
    return found


def test_whole_epochs_are_measured() -> None:
    """Each ends in a step of 0.5 s: 39 * 0.1 + 0.5 = 4.4 s for 160 images, however far the last epoch came."""
    times = ([0.1] * 39 + [0.5]) * 4
    for steps in (90, 120, 125, 139):
        found = summarized(times[:steps])
        assert found.throughput_img_s == pytest.approx(160 / 4.4)
        assert found.epochs_seen == found.steps / 40 and found.cycle_steps == 40 and found.too_few_cycles == ""


def test_too_few_epochs_are_said_next_to_the_figure() -> None:
    found = summarized([0.1] * 30)
    assert (found.epochs_seen, found.cycle_steps) == (25 / 40, None)
    assert dict(summary_lines(found))["throughput"].endswith("; 0.6 epochs seen")
    assert summarized([0.1] * 6).too_few_cycles == "under 0.1 epochs seen"
    kept = summarized([0.1] * 125, checkpoint_every=5)
    assert (kept.cycle_steps, kept.too_few_cycles) == (40, "0.6 checkpoint periods seen")


def test_the_drift_stands_next_to_the_verdict() -> None:
    lines = dict(summary_lines(summarized([0.1 + 0.0001 * n for n in range(85)])))
    assert "NOT STEADY: step time drifts by +7.6 %" in lines["warm-up"]
    assert lines["drift"].startswith("+7.6 %, +7.6 to +7.6 %")


def test_figures_say_of_which_steps_they_are() -> None:
    few, enough = (dict(summary_lines(summarized([0.1, 0.2] * steps))) for steps in (50, 65))
    assert "of this run's steps, in blocks of" in few["95 % interval"]
    assert few["step"] == "0.15 s median; 5 % 0.1, 95 % 0.2 s"
    assert enough["step"].endswith("95 % 0.2, 99 % 0.2 s of 120 steps")
    earlier = summarized([0.1, 0.2] * 50, rule=2)
    assert earlier.step.p99_s == 0.2 and dict(summary_lines(earlier))["step"] == few["step"]


def test_what_is_no_measurement_is_refused_with_what_to_do(make_spec: Callable[..., RunSpec]) -> None:
    changes: list[dict[str, Any]] = [{}, {"profiling": ProfileConfig(steps=1)}, {"tuning": TuningConfig()}]
    folders = [write_run(make_spec().replaced(**change)) for change in changes]
    (folders[0].path / "steps-rank0.jsonl").unlink()
    said = []
    for find, folder in zip((printed_means, measured_spec, measured_spec), folders, strict=True):
        with pytest.raises(RunFailed) as caught:
            find(folder)
        said.append(str(caught.value).replace(str(folder.path), "RUN"))
    assert said == [
        "the raw samples of RUN are gone; give its record",
        "RUN is a profile: what it took is no measurement; measure with gbench launch",
        "RUN is a tuning: its trials are no run; read its tuning.json, or measure with gbench launch",
    ]


def test_a_result_holds_the_reading_of_the_first_rule() -> None:
    times = ([0.1] * 39 + [0.5]) * 3
    now, first = summarized(times), summarized(times, rule=1)
    assert now.first_reading is not None and first.first_reading is None
    assert (now.statistics, first.statistics) == (STATISTICS, 1)
    assert now.first_reading.throughput_img_s == first.throughput_img_s != now.throughput_img_s
    assert now.first_reading.throughput_interval == first.throughput_interval != now.throughput_interval
    assert (now.first_reading.steps, now.first_reading.warmup_steps) == (115, 5) == (first.steps, first.warmup_steps)
