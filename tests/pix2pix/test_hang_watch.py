"""Ends of runs whose steps stop coming, in real processes."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gbench.errors import Hung
from gbench.pix2pix import hang_watch
from gbench.pix2pix.__main__ import set_up_limit_s
from gbench.pix2pix.hang_watch import STACKS, HangWatch
from gbench.pix2pix.ranks.heartbeat import LONG_S, PATIENCE_STEPS, Heartbeats
from gbench.pix2pix.step.build_model import build_networks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step
from gbench.settings.evaluation_spec import EvaluationRequest, of_run
from gbench.settings.spec import ProfileConfig, RunSpec, TuningConfig
from rank_programs import ranks

MakeSpec = Callable[..., RunSpec]

# Both ranks do three steps; from then on only `missing` of rank 1 happens.
STEPS = """
    def wait_for_the_other():
        time.sleep(600)

    for step in range(1, 4):
        heartbeat.beat({limit_s}, step)
        time.sleep(0.02)
    if rank == 1:
{missing}
    heartbeat.beat({limit_s}, 4)
    wait_for_the_other()
"""


def hung(folder: RunFolder, missing: str, limit_s: float = 1.0) -> tuple[str, str]:
    """The sentence of a run that hangs, and the stacks of its ranks."""
    lines = STEPS.format(missing=f"        {missing}", limit_s=limit_s)
    with ranks(folder.path, lines) as started:
        code, output = started.end()
    assert code == 128 + signal.SIGKILL, output
    error = read_error(folder)
    assert error is not None
    assert isinstance(error.to_raise(), Hung)
    assert f"gbench: error: {error.to_raise()}\n" in output
    return error.what, (folder.path / STACKS).read_text()


@pytest.fixture
def folder(tmp_path: Path, make_spec: MakeSpec) -> RunFolder:
    return RunFolder.create(make_spec().model_copy(update={"results_dir": str(tmp_path)}))


def test_a_stopped_rank_ends_the_run_and_is_named(folder: RunFolder) -> None:
    sentence, stacks = hung(folder, "os.kill(os.getpid(), signal.SIGSTOP)")
    start, end = sentence.split("; rank 1 (process ")
    assert start == "hung: no rank has made a step for 1 s, after step 3"
    assert end.endswith(") is stopped (SIGSTOP)")
    assert "in wait_for_the_other" in stacks.partition("rank 1 (process")[0]
    assert "state T\nit did not answer; py-spy" in stacks.partition("rank 1 (process")[2]


def test_a_rank_that_is_behind_is_named_with_its_stack(folder: RunFolder) -> None:
    sentence, stacks = hung(folder, "time.sleep(600)")
    assert sentence.endswith(") is behind the others")
    assert "; rank 1 (process " in sentence
    assert "in run_rank" in stacks.partition("rank 1 (process")[2]


def test_ranks_that_stop_in_one_step_are_all_named(folder: RunFolder) -> None:
    sentence, stacks = hung(folder, "pass")
    assert "; rank 0 (process " in sentence
    assert " and rank 1 (process " in sentence
    assert sentence.endswith(") is in the same step")
    assert stacks.count("in wait_for_the_other") == 2


# The worker itself, whose rank 1 is stopped within the run: in its second batch, or its sixth block of steps.
WORKER = """
    from gbench.pix2pix.__main__ import main
    from gbench.pix2pix.{module} import {owner}
    whole, done = {owner}.{method}, []

    def stopped(self, *arguments):
        done.append(1)
        if rank == 1 and len(done) == {before}:
            os.kill(os.getpid(), signal.SIGSTOP)
        return whole(self, *arguments)

    {owner}.{method} = stopped
    return main(["--run-dir", str(folder), "--data-dir", {data!r}], heartbeat=heartbeat)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["evaluation", "tuning"])
def test_a_rank_that_is_stopped_ends_an_evaluation_and_a_tuning(
    kind: str, make_spec: MakeSpec, facades: Path, tmp_path: Path
) -> None:
    spec = make_spec(device_count=2, settings=("measure.hang_seconds=5", "measure.pin=false"), data_source="synthetic")
    if kind == "evaluation":
        torch.save(build_networks(spec)[0].state_dict(), tmp_path / "latest_net_G.pth")
        spec = of_run(spec, EvaluationRequest(tmp_path / "latest_net_G.pth", out=tmp_path / "out", devices=2), {}).spec
        place = {"module": "evaluator", "owner": "Evaluator", "method": "evaluate", "before": 2}
    else:
        spec = spec.model_copy(update={"tuning": TuningConfig(max_time_s=600), "results_dir": str(tmp_path)})
        place = {"module": "tuning_candidate", "owner": "Candidate", "method": "block", "before": 6}
    folder = RunFolder.create(spec)
    with ranks(folder.path, WORKER.format(data=str(facades), **place)) as started:
        code, output = started.end()
    assert code == 128 + signal.SIGKILL, output
    error = read_error(folder)
    assert error is not None and isinstance(error.to_raise(), Hung), output
    assert re.search(r"no rank has made a step for \d+ s, after step [1-9]\d*; rank 1 .* is stopped", error.what)
    assert f"{'evaluator' if kind == 'evaluation' else 'tuner'}.py" in (folder.path / STACKS).read_text()


@pytest.mark.parametrize(
    ("source", "recipe", "hang_s", "limit_s"),
    [
        ("real", "performance", 300, LONG_S),
        ("synthetic", "tuning", 4000, 4000),
        ("real", "evaluation", 0, 0),
        ("cached", "performance", 300, 0),
        ("synthetic", "fleet", 300, 0),
    ],
)
def test_setting_a_rank_up_has_a_limit_unless_it_may_take_hours(
    source: str, recipe: str, hang_s: float, limit_s: float, make_spec: MakeSpec
) -> None:
    spec = make_spec(data_source=source, settings=(f"measure.hang_seconds={hang_s}",))
    assert set_up_limit_s(spec.model_copy(update={"recipe": recipe})) == limit_s


class Watched:
    """Two ranks that no process belongs to, and a watch that sleeps only as long as `beats` says what they do."""

    def __init__(self, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heartbeats, self.ranks, self.killed = Heartbeats(2), {71: 0, 72: 1}, list[int]()
        self.watch = HangWatch(folder, self.ranks, self.heartbeats)
        monkeypatch.setattr(hang_watch.os, "kill", lambda pid, number: self.killed.append(number))
        self._monkeypatch = monkeypatch

    def ends(self, looks: int, at_look: Callable[[int], None]) -> bool:
        """Whether the run is ended within this many looks. at_look: what the ranks do before one."""
        done = 0

        def sleep(seconds: float) -> None:
            nonlocal done
            done += 1
            if done > looks:
                raise TimeoutError
            at_look(done)

        self._monkeypatch.setattr(hang_watch.time, "sleep", sleep)
        try:
            self.watch.run()
        except TimeoutError:
            return False
        return signal.SIGKILL in self.killed

    def beat(self, limit_s: float, *ranks: int) -> None:
        for rank in ranks:
            self.heartbeats.rank(rank).beat(limit_s, 1)


@pytest.fixture
def watched(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(folder, monkeypatch)


def test_slow_steps_within_their_limit_are_no_hang(watched: Watched) -> None:
    assert not watched.ends(400, lambda look: watched.beat(31, 0, 1) if look % 30 == 0 else None)


def test_a_run_ends_at_its_limit(watched: Watched) -> None:
    watched.beat(30, 0, 1)
    assert not watched.ends(29, lambda look: None)
    assert watched.ends(2, lambda look: None)


def test_one_silent_rank_is_no_hang_while_another_goes_on(watched: Watched) -> None:
    watched.beat(5, 1)
    assert not watched.ends(100, lambda look: watched.beat(5, 0))


def test_no_beat_is_due_before_the_training_and_after_it(watched: Watched) -> None:
    assert not watched.ends(100, lambda look: None)
    watched.beat(5, 0, 1)
    watched.beat(0, 0, 1)
    assert not watched.ends(100, lambda look: None)


def step_of(step_s: float) -> Step:
    return Step(1, 1, 4, data_s=0, step_s=step_s, end_s=1, ahead_s=0, between_s=0, warmup=False, losses={})


@pytest.mark.parametrize(
    ("settings", "changes", "long_s", "after_fast_s", "after_slow_s"),
    [
        ((), {}, LONG_S, 300, PATIENCE_STEPS * 20),
        (("measure.hang_seconds=7",), {}, LONG_S, 7, PATIENCE_STEPS * 20),
        (("measure.hang_seconds=4000",), {}, 4000, 4000, 4000),
        (("measure.hang_seconds=0",), {}, 0, 0, 0),
        (("speed.compile=networks",), {"profile": "custom"}, LONG_S, LONG_S, LONG_S),
    ],
)
def test_limits(
    settings: tuple[str, ...],
    changes: dict[str, str],
    long_s: float,
    after_fast_s: float,
    after_slow_s: float,
    make_spec: MakeSpec,
) -> None:
    trainer = Trainer.__new__(Trainer)
    trainer.spec = make_spec(settings=settings, **changes)
    assert trainer.hang_limit_s() == long_s
    assert trainer.hang_limit_s([step_of(0.1)] * 3) == after_fast_s
    assert trainer.hang_limit_s([step_of(0.1), step_of(20), step_of(20)]) == after_slow_s
    trainer.spec = trainer.spec.replaced(profiling=ProfileConfig(steps=1))
    assert trainer.hang_limit_s([step_of(0.1)]) == long_s
