"""One rank's training loop in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.slow_facts import slow_facts
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.settings.literals import STEP_DELAY
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


def test_checkpoints_and_log_lines_are_no_data_wait(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> None:
    """Slow down every log line by 0.1 s, and saving after every epoch of 4 steps by 0.3 s."""

    class Slow(Trainer):
        def line(self, images: int) -> str:
            time.sleep(0.1)
            return super().line(images)

        def save(self) -> None:
            super().save()
            time.sleep(0.3)

    spec = make_spec(steps=12, settings=("schedule.checkpoint_every=1",))
    folder = RunFolder.create(spec)
    Slow(spec, folder, facades, ranks).run()
    steps = list(folder.steps(0))
    assert steps[0].between_s == 0.0
    for step in steps[1:]:
        assert step.between_s > (0.4 if step.step in (5, 9) else 0.1)
        assert step.step_s > step.between_s + step.data_s
    ends = [step.end_s for step in steps]
    assert sum(step.step_s for step in steps[1:]) == pytest.approx(ends[-1] - ends[0])  # one chain all the same


def test_a_run_that_dies_after_one_step_left_work_and_memory(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> None:
    class Dies(Trainer):
        def save(self) -> None:
            raise KeyboardInterrupt

    spec = make_spec(steps=12, settings=("schedule.checkpoint_every=1",))
    folder = RunFolder.create(spec)
    with pytest.raises(KeyboardInterrupt):
        Dies(spec, folder, facades, ranks).run()
    environment = folder.read("environment.json")
    assert environment is not None and "ended" not in environment
    assert environment["work_per_image"]["flop"] > 0
    assert environment["memory"][0]["host_rss_bytes"] > 1 << 20


def test_whatever_ends_a_run_its_steps_are_written(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> None:
    class Dies(Trainer):
        def line(self, images: int) -> str:
            if self.state.step == 7:
                raise KeyboardInterrupt
            return super().line(images)

    spec = make_spec(steps=12)
    folder = RunFolder.create(spec)
    with pytest.raises(KeyboardInterrupt):
        Dies(spec, folder, facades, ranks).run()
    assert [step.step for step in folder.steps(0)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_run_that_died_after_its_last_checkpoint_resumes(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> None:
    class Dies(Trainer):
        def save(self) -> None:
            super().save()
            if self.state.step == 12:
                raise KeyboardInterrupt

    spec = make_spec(steps=12, settings=("schedule.checkpoint_every=1",))
    folder = RunFolder.create(spec)
    died = Dies(spec, folder, facades, ranks)
    with pytest.raises(KeyboardInterrupt):
        died.run()
    before = [step.end_s for step in folder.steps(0)]
    weights = died.model.generator.state_dict()
    resumed = Trainer(spec, folder, facades, ranks)
    resumed.run()
    assert [step.end_s for step in folder.steps(0)] == before  # nothing is done twice
    assert all(value.equal(weights[name]) for name, value in resumed.model.generator.state_dict().items())
    environment = folder.read("environment.json")
    assert environment is not None and environment["ended"] == {"steps": 12, "because": "all steps are done"}
    assert environment["precision_at_end"]["ran"] == "FP32"


def test_the_worker_reads_the_time_that_a_calibration_adds(
    make_spec: MakeSpec, facades: Path, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEP_DELAY, "soon")
    spec = make_spec()
    with pytest.raises(UsageError, match="is no time of at most 10 seconds"):
        Trainer(spec, RunFolder.create(spec), facades, ranks)


def test_counting_the_work_leaves_the_random_numbers(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> None:
    spec = make_spec()
    Trainer(spec, RunFolder.create(spec), facades, ranks)
    assert torch.initial_seed() == (spec.seed + 1) << 16


@pytest.mark.parametrize("source", ["cached", "resident"])
def test_losses_do_not_depend_on_the_source_of_pictures(
    make_spec: MakeSpec, facades: Path, tmp_path: Path, ranks: Ranks, source: str
) -> None:
    (tmp_path / "cache").mkdir()
    runs = []
    for each in ("real", source):
        spec = make_spec(steps=6, data_source=each, deterministic=True)
        runs.append(RunFolder.create(spec))
        Trainer(spec, runs[-1], facades, ranks).run()
    plain, fast = ([step.losses for step in run.steps(0)] for run in runs)
    assert plain == fast and len(plain) == 6
    environment = runs[1].read("environment.json")
    assert environment is not None and environment["data"]["source"] == source


@pytest.mark.parametrize(
    ("warmup", "peak_seconds", "piped", "waits_after"),
    [
        pytest.param(2, 0, True, 1, id="in the warm-up"),
        pytest.param(1, 0, True, 0, id="step 2 is measured"),
        pytest.param(2, 0.01, True, 0, id="the peak of the CPU is measured"),
        pytest.param(2, 0, False, 0, id="rank 0 collects them itself"),
    ],
)
def test_slow_facts_are_there_before_anything_is_measured(
    make_spec: MakeSpec,
    facades: Path,
    ranks: Ranks,
    monkeypatch: pytest.MonkeyPatch,
    warmup: int,
    peak_seconds: float,
    piped: bool,
    waits_after: int,
) -> None:
    spec = make_spec(warmup=warmup, settings=(f"measure.peak_seconds={peak_seconds}",))
    trainer, steps = Trainer(spec, RunFolder.create(spec), facades, ranks), []

    def noted(*arguments: Any) -> dict[str, Any]:
        steps.append(trainer.state.step)
        return slow_facts(*arguments)

    monkeypatch.setattr("gbench.pix2pix.trainer.slow_facts", noted)
    reader, writer = os.pipe()
    os.close(writer)
    trainer.run(reader if piped else None)
    assert steps == [waits_after]
