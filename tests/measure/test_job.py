"""Totals of a job over several attempts, for given run folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gbench.measure.job import job_of
from gbench.measure.telemetry.sample_columns import Samples, Telemetry
from gbench.measure.telemetry.samples import GpuSample, Header, Sample
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import AttemptTimes, closed
from gbench.runfolder.run_result import Job
from gbench.runfolder.steps import Step, StepWriter
from gbench.runfolder.telemetry_result import GpuFacts
from gbench.settings.spec import RunSpec
from run_folders import ENVIRONMENT, HOST, fake_losses

WATTS = 200


def attempt(folder: RunFolder, rank: int, after: int | None, count: int, start_s: float, step_s: float) -> None:
    first = after or 0
    with StepWriter(folder.path, rank, after) as writer:
        writer.append(
            Step(first + n, 1, 2, 0.0, step_s, start_s + n * step_s, 0.0, False, fake_losses(n))
            for n in range(1, count + 1)
        )


def sampled(start_s: float, end_s: float, watts: float | None = WATTS) -> Telemetry:
    """A GPU at constant power, measured by its counter, which restarts at every boot."""
    times = [start_s + 0.5 * n for n in range(int(2 * (end_s - start_s)) + 1)]
    counters = [None if watts is None else round(watts * (t_s - start_s) * 1000) for t_s in times]
    samples = [Sample(t_s, 0.0, 0.0, [GpuSample(energy_mj=mj)]) for t_s, mj in zip(times, counters, strict=True)]
    return Telemetry(Header(2.0, "", gpus=[GpuFacts("0")]), Samples.of(samples))


def job(folder: RunFolder, telemetry: list[Telemetry]) -> Job | None:
    return job_of(folder, folder.ranks_by_attempt(), telemetry)


@pytest.fixture
def folder(make_spec: Callable[..., RunSpec]) -> RunFolder:
    """Two ranks, the second the slower. 6 steps from 110 s on, killed; after 4 of them on from 210 s to step 10."""
    folder = RunFolder.create(make_spec(device_count=2))
    folder.write("environment.json", {**ENVIRONMENT, "steps_per_epoch": 4})
    for rank, step_s in ((0, 0.9), (1, 1.0)):
        attempt(folder, rank, None, 6, 110.0, step_s)
        attempt(folder, rank, 4, 6, 210.0, step_s)
    return folder


def host(folder: RunFolder, *attempts: dict[str, Any]) -> None:
    folder.write("host.json", {**HOST, "attempts": list(attempts)})


def test_all_attempts_count_and_repeated_work_is_named(folder: RunFolder) -> None:
    host(folder, {"started_s": 100.0, "wall_s": 16.0}, {"started_s": 200.0, "wall_s": 20.0})
    found = job(folder, [sampled(105.0, 120.0), sampled(205.0, 220.0)])
    assert found is not None
    assert (found.epochs, found.attempts, found.wall_s) == (2.5, 2, 36.0)
    assert (found.training_s, found.redone_s) == (pytest.approx(12.0), pytest.approx(2.0))
    assert found.epochs_per_hour == pytest.approx(2.5 / 10 * 3600)
    assert found.joules == pytest.approx(WATTS * 2 * 6 * 0.9)  # rank 0's steps say when it trained
    assert found.energy_source == "nvml counter"


def test_an_attempt_that_was_killed_ends_with_its_last_step(folder: RunFolder) -> None:
    host(folder, {"started_s": 100.0, "wall_s": 16.0}, {"started_s": 200.0, "wall_s": None})
    found = job(folder, [sampled(105.0, 120.0), sampled(205.0, 220.0)])
    assert found is not None and found.wall_s == 16.0 + 16.0  # the second rank's last step is at 216 s
    ranks = [folder.attempts(rank) for rank in (0, 1)]
    assert closed([AttemptTimes(started_s=300.0)], ranks)[0].wall_s == 0.0  # it died before its first step
    assert closed([], ranks) == []


def test_energy_of_which_a_part_is_not_known_is_not_known(folder: RunFolder) -> None:
    host(folder)
    for telemetry in (
        [sampled(105.0, 120.0), sampled(205.0, 220.0, watts=None)],
        [sampled(105.0, 120.0), sampled(205.0, 212.0)],
        [sampled(205.0, 220.0)],
        [Telemetry()],
    ):
        found = job(folder, telemetry)
        assert found is not None
        assert (found.joules, found.energy_source, found.wall_s, found.attempts) == (None, None, None, 1)


def test_an_attempt_without_steps_takes_no_others_energy(folder: RunFolder) -> None:
    host(folder)
    found = job(folder, [sampled(105.0, 120.0), sampled(150.0, 152.0), sampled(205.0, 220.0)])
    assert found is not None and found.joules == pytest.approx(WATTS * 2 * 6 * 0.9)


def test_a_folder_that_lacks_what_it_takes_has_no_job(folder: RunFolder, make_spec: Callable[..., RunSpec]) -> None:
    folder.write("environment.json", ENVIRONMENT)  # of an older gbench
    assert job(folder, [Telemetry()]) is None
    empty = RunFolder.create(make_spec())
    empty.write("environment.json", {**ENVIRONMENT, "steps_per_epoch": 4})
    assert job(empty, [Telemetry()]) is None
