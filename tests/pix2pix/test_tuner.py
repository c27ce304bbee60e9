"""What a tuning keeps, with simulated step times, and one tuning with real models."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from support import two_ranks

from gbench.errors import RunFailed
from gbench.pix2pix import tuner, tuning_candidate
from gbench.pix2pix.ranks.group import Ranks
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import Arm, Trial, Tuning, read_tuning
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec, TuningConfig
from spawned_ranks import spawn_ranks

MakeSpec = Callable[..., RunSpec]
PATIENCE_S = 3.0  # of a rank that failed alone


@pytest.fixture
def tuned(make_spec: MakeSpec, facades: Path, ranks: Ranks) -> Callable[..., Tuning]:
    """A tuning in this process."""

    def run(max_time_s: float = 1.0) -> Tuning:
        spec = make_spec(data_source="synthetic")
        spec = spec.model_copy(update={"tuning": TuningConfig(max_time_s=max_time_s)})
        folder = RunFolder.create(spec)
        tuner.Tuner(spec, folder, facades, ranks).run()
        found = read_tuning(folder)
        assert found is not None
        return found

    return run


WORTH = {"channels_last": 0.8, "fused": 1.25, "foreach": 1.1, "blocks": 1.005, "networks": 1.3}


class SimulatedMachine:
    """Makes candidates whose steps take simulated time, with 1 % of noise and a slow drift of the whole machine.

    Args:
        fails: switches for which no candidate can be made.
    """

    def __init__(self, fails: tuple[str, ...] = ()) -> None:
        self.fails, self.noise, self.blocks = fails, random.Random(1), 0

    def candidate(self, spec: RunSpec, ranks: Ranks, switches: SpeedConfig, *others: Any) -> SimulatedCandidate:
        """Replaces `tuner.Candidate`."""
        on = [name if value is True else str(value) for name, value in switches.on.items()]
        if any(name in self.fails for name in on):
            raise RunFailed("no compiler", "install one")
        return SimulatedCandidate(self, switches, self.step_s(on))

    def step_s(self, on: list[str]) -> float:
        """Seconds of a step with these switches on."""
        return 0.5 / math.prod(WORTH[name] for name in on)

    def block_s(self, candidate: SimulatedCandidate, steps: int) -> float:
        """Simulated seconds of these steps."""
        self.blocks += 1
        return steps * candidate.step_s * (1 + 0.01 * self.noise.gauss(0, 1)) * (1 + 0.001 * self.blocks)


@dataclass
class SimulatedCandidate:
    machine: SimulatedMachine
    switches: SpeedConfig
    step_s: float

    def block(self, steps: int) -> float:
        return self.machine.block_s(self, steps)

    def result(self) -> Arm:
        return Arm(switches=self.switches.on, step_s=self.step_s, setup_s=2.0, memory_bytes=1)


def verdicts(found: Tuning) -> dict[str, tuple[bool, str]]:
    return {"".join(map(str, one.change.values())): (one.kept, one.why.rpartition(": ")[2]) for one in found.trials}


def test_what_pays_is_kept_and_the_next_is_tried_on_top_of_it(
    tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner, "Candidate", SimulatedMachine().candidate)
    found = tuned()
    assert verdicts(found) == {
        "True": (False, "slower"),
        "fused": (True, "kept"),
        "foreach": (False, "adam=fused is kept"),
        "blocks": (False, "not surely faster by 1%"),
        "networks": (True, "kept"),
    }
    last = found.trials[-1]
    assert last.base is not None and last.base.switches == {"adam": "fused"}
    assert last.changed is not None and last.changed.switches == {"adam": "fused", "compile": "networks"}
    assert last.low is not None and last.high is not None and last.low < 1.3 < last.high
    assert found.overall is not None and found.overall.ratio == pytest.approx(1.25 * 1.3, rel=0.02)
    assert found.speed == SpeedConfig(adam="fused", compile="networks")


def test_a_switch_that_fails_is_a_result_and_ends_nothing(
    tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuner, "Candidate", SimulatedMachine(fails=("blocks", "networks")).candidate)
    found = tuned()
    assert [one.why for one in found.trials[-2:]] == ["failed: no compiler"] * 2
    assert found.speed == SpeedConfig(adam="fused")


def test_two_candidates_that_do_not_fit_cost_one_line(
    tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like a captured graph on a GPU, which keeps its memory while the other candidate runs."""

    class SmallMemory(SimulatedMachine):
        taken = False

        def block_s(self, candidate: SimulatedCandidate, steps: int) -> float:
            self.taken = self.taken or candidate.switches.compile == "blocks"
            if self.taken and candidate.switches.compile == "none":
                self.taken = False
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 128.00 MiB.")
            return super().block_s(candidate, steps)

    monkeypatch.setattr(tuner, "Candidate", SmallMemory().candidate)
    found = tuned()
    assert found.trials[3].why == "failed: cpu is out of memory"
    assert found.speed == SpeedConfig(adam="fused", compile="networks")


def test_a_single_slow_step_does_not_shorten_the_blocks(
    tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowAtFirst(SimulatedMachine):
        """Its steps are short, and the first block of each candidate takes an extra second."""

        def __init__(self) -> None:
            super().__init__()
            self.begun: list[SimulatedCandidate] = []

        def step_s(self, on: list[str]) -> float:
            return super().step_s(on) / 50

        def block_s(self, candidate: SimulatedCandidate, steps: int) -> float:
            late_s = 0.0 if any(candidate is one for one in self.begun) else 1.0
            self.begun.append(candidate)
            return super().block_s(candidate, steps) + late_s

    monkeypatch.setattr(tuner, "Candidate", SlowAtFirst().candidate)
    tried = [one for one in tuned(max_time_s=60).trials if one.ratio is not None]
    assert tried and all(one.steps_per_block > 15 for one in tried)  # a step is 0.01 s or less


def test_a_short_time_shortens_the_blocks(tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast(SimulatedMachine):
        def step_s(self, on: list[str]) -> float:
            return super().step_s(on) / 500

    monkeypatch.setattr(tuner, "Candidate", Fast().candidate)
    timed_s = 0.0
    for one in tuned(max_time_s=1.0).trials:
        if one.base is not None and one.changed is not None:
            timed_s += one.rounds * 2 * one.steps_per_block * (one.base.step_s + one.changed.step_s)
    assert 0.1 < timed_s < 1.5  # simulated: at 0.25 s a block it would be 4 s a switch


def test_what_does_not_pay_when_measured_again_is_not_kept(
    tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single trial may be faster by chance: here fused is faster once and never again."""

    class LuckyOnce(SimulatedMachine):
        lucky = True

        def step_s(self, on: list[str]) -> float:
            if "fused" in on and self.lucky:
                self.lucky = False
                return 0.4
            return 0.5

    monkeypatch.setattr(tuner, "Candidate", LuckyOnce().candidate)
    found = tuned()
    assert verdicts(found)["fused"][0] and found.overall is not None and not found.overall.kept
    assert found.speed == SpeedConfig()


def test_after_how_many_steps_a_switch_has_paid() -> None:
    arms = [Arm(switches={}, step_s=s, setup_s=setup, memory_bytes=1) for s, setup in ((1.0, 1.0), (0.8, 40.9))]
    values = {"change": {"compile": "blocks"}, "why": "", "ratio": 1.25, "base": arms[0], "changed": arms[1]}
    assert Trial(kept=True, **values).pays_after_steps == 200
    assert Trial(kept=False, **values).pays_after_steps is None


def test_memory_taken_at_a_graphs_capture_counts(
    make_spec: MakeSpec, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GPU: kernels are chosen in the first step, the graph is captured in that after the warm-up."""
    takes, peak, steps = {1: 5000, tuning_candidate.WARM_UP + 1: 700}, [0], [0]

    def step(*batch: torch.Tensor) -> None:
        steps[0] += 1
        peak[0] = max(peak[0], takes.get(steps[0], 40))

    monkeypatch.setattr(tuning_candidate.apply_switches, "step_of", lambda model, switches, devices: step)
    monkeypatch.setattr(tuning_candidate, "build_model", lambda spec, ranks: SimpleNamespace(fake_B=torch.zeros(1)))
    monkeypatch.setattr(tuning_candidate.environment, "reset_memory_peaks", lambda device: peak.__setitem__(0, 0))
    monkeypatch.setattr(
        tuning_candidate.environment, "memory", lambda device: {"host_rss_bytes": 9, "allocated_bytes": peak[0]}
    )
    tuning_candidate.precision.set_precision("FP32", ranks.device)  # as the tuner does
    arm = tuner.Candidate(make_spec(), ranks, SpeedConfig(), [], threads=1)
    arm.block(3)
    assert arm.result().memory_bytes == 700


def test_real_models_take_turns(tuned: Callable[..., Tuning], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner, "BLOCK_S", 0.01)
    monkeypatch.setattr(tuner, "CANDIDATES", ({"channels_last": True}, {"adam": "fused"}))
    found = tuned()
    assert [one.change for one in found.trials] == [{"channels_last": True}, {"adam": "fused"}]
    for trial in found.trials:
        assert trial.rounds >= tuner.MIN_ROUNDS and trial.ratio is not None
        assert trial.base is not None and trial.changed is not None
        assert trial.changed.switches == {**trial.base.switches, **trial.change}
        assert min(trial.base.step_s, trial.changed.step_s) > 0
        assert min(trial.base.memory_bytes, trial.changed.memory_bytes) > 1 << 20
    assert found.torch_version == torch.__version__


class FailsOnOneRank(tuner.Candidate):
    def __init__(self, spec: RunSpec, ranks: Ranks, switches: SpeedConfig, *others: Any) -> None:
        if switches.on and ranks.rank == 1:
            raise RunFailed("no room on its disk", "make some")
        super().__init__(spec, ranks, switches, *others)


def _tune_as(rank: int, spec: RunSpec, facades: Path) -> None:
    torch.set_num_threads(1)
    folder = RunFolder(spec.run_dir)
    # a rank that waits for gradients in vain ends long after the other has spoken
    timeout = timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder.path}/rendezvous", rank=rank, world_size=2, timeout=timeout)
    tuner.Candidate, tuner.ALONE_S = FailsOnOneRank, PATIENCE_S  # type: ignore[misc]
    try:
        tuner.Tuner(spec, folder, facades, Ranks(rank, 2, torch.device("cpu"))).run()
    except RunFailed as error:
        (folder.path / f"rank{rank}.txt").write_text(str(error))


@two_ranks
def test_a_switch_that_fails_on_one_rank_ends_the_tuning(make_spec: MakeSpec, facades: Path) -> None:
    spec = make_spec(data_source="synthetic", device_count=2)
    spec = spec.model_copy(update={"tuning": TuningConfig(max_time_s=1.0)})
    RunFolder.create(spec)
    with pytest.raises(
        mp.ProcessRaisedException, match=r"(?s)Process 0 .*closed by peer"
    ):  # nobody is left to wait for
        spawn_ranks(_tune_as, (spec, facades), 2)
    (said,) = spec.run_dir.glob("rank*.txt")
    assert said.name == "rank1.txt"
    assert said.read_text().startswith(
        "speed.channels_last=true failed on rank 1 and not on all: no room on its disk; "
    )
