"""One rank's part in a tuning: two models take turns, with a switch of `speed` and without it, and what pays is kept.

Both start from the same weights and take the same batch of noise, so that computing alone is timed. All ranks decide
alike, by the times of the slowest.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist

from gbench.errors import GbenchError, RunFailed
from gbench.measure import environment
from gbench.measure.paired_ratio import PairedRatio, ratio_of_rounds
from gbench.pix2pix.data.open_loader import open_loader
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.out_of_memory import out_of_memory
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.build_model import build_model
from gbench.pix2pix.step.cuda_graph import WARM_UP
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import LEAST_GAIN, NAME, Arm, Trial, Tuning
from gbench.settings.spec import RunSpec, SpeedConfig
from gbench.settings.switches import CANDIDATES, why_not, written

SETUP_STEPS = WARM_UP + 2  # before the clock counts: kernels are chosen, compiled, captured
BLOCK_S = 0.25  # the least that a block takes
MIN_ROUNDS = 4
ALONE_S = 30.0  # a rank whose switch fails waits no longer to hear from the others


class Candidate:
    """A model of its own, with its switches on.

    Args:
        threads: of the process, where no switch sets them.
    """

    def __init__(
        self, spec: RunSpec, ranks: Ranks, switches: SpeedConfig, batch: list[torch.Tensor], threads: int
    ) -> None:
        self.switches, self._ranks, self._batch = switches, ranks, batch
        self._threads = switches.threads or threads
        with_switches = spec.config.model_copy(update={"speed": switches})
        self._model = build_model(spec.model_copy(update={"config": with_switches}), ranks)
        self._step = apply_switches.step_of(self._model, switches)
        self.memory_bytes, self.seconds, self.steps = 0, 0.0, 0
        self.first_s = self._time(WARM_UP)
        environment.reset_memory_peaks(ranks.device)
        self.first_s += self._time(SETUP_STEPS - WARM_UP)
        self._setup_bytes = self._peak()  # a graph's memory shows while it is captured: a replay allocates nothing
        assert self._model.fake_B is not None, "there was a step"
        precision.confirmed(spec.precision, self._model.fake_B.dtype)

    def _time(self, steps: int) -> float:
        """Seconds of so many steps, until the device is done."""
        torch.set_num_threads(self._threads)
        begun = time.perf_counter()
        for _ in range(steps):
            self._step(*self._batch)
        if self._ranks.device.type == "cuda":
            torch.cuda.synchronize(self._ranks.device)
        return time.perf_counter() - begun

    def _peak(self) -> int:
        memory = environment.memory(self._ranks.device)
        return memory.get("allocated_bytes", memory["host_rss_bytes"])

    def block(self, steps: int) -> float:
        """Seconds of a block of steps by the slowest rank's clock; every rank must call it."""
        environment.reset_memory_peaks(self._ranks.device)
        mine = self._time(steps)
        taken = self._ranks.gather((mine, max(self._peak(), self._setup_bytes)))
        slowest: float = max(seconds for seconds, _ in taken)
        self.memory_bytes = max(self.memory_bytes, *(bytes_ for _, bytes_ in taken))
        self.seconds, self.steps = self.seconds + slowest, self.steps + steps
        return slowest

    def found(self) -> Arm:
        """What it showed."""
        step_s = self.seconds / self.steps
        setup_s = max(0.0, max(self._ranks.gather(self.first_s)) - SETUP_STEPS * step_s)
        return Arm(switches=self.switches.on, step_s=step_s, setup_s=setup_s, memory_bytes=self.memory_bytes)


class Tuner:
    """One rank's tuning. Raises as `Trainer` does."""

    def __init__(self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks) -> None:
        assert spec.tuning is not None, "the spec of a training"
        self.spec, self.folder, self.ranks = spec, folder, ranks
        self.begun = time.monotonic()
        determinism.choose_kernels(spec.deterministic, spec.config.data.preprocess != "scale_width")
        precision.set_precision(spec.precision, ranks.device)
        self.left_s = spec.tuning.max_time_s
        loader, _ = open_loader(spec, data_dir, Path(spec.cache_dir), None, ranks)
        real_A, real_B, _ = next(iter(loader))
        self.batch = [real_A, real_B]
        self.threads = torch.get_num_threads()
        # for what ranks say of a switch: not that of the gradients, which the others may be exchanging
        apart = dist.new_group(backend="gloo", timeout=timedelta(seconds=ALONE_S))
        assert isinstance(apart, dist.ProcessGroup), "all ranks are in it"
        self.apart = apart

    def candidates(self) -> list[dict[str, Any]]:
        """The changes to try here, in order."""
        found = [one for one in CANDIDATES if why_not(self.spec, SpeedConfig(**one)) is None]
        if self.ranks.device.type == "cuda":
            found.remove({"adam": "foreach"})  # what torch takes there of itself
        cores = (psutil.cpu_count(logical=False) or self.threads) // self.spec.device_count
        if self.ranks.device.type == "cpu" and 0 < cores < self.threads:
            found.append({"threads": cores})
        return found

    def run(self) -> None:
        """Try every switch on top of those that paid, then all that paid against none; rank 0 writes tuning.json."""
        kept, trials, overall = SpeedConfig(), list[Trial](), None
        changes = self.candidates()
        for number, change in enumerate(changes):
            trial = self.tried(kept, change, self.left_s / (len(changes) - number + 1))
            trials.append(trial)
            self.say(trial)
            kept = kept.model_copy(update=change) if trial.kept else kept
        if kept.on:
            overall = self.trial(SpeedConfig(), kept.on, self.left_s)
            self.say(overall)
        chosen = SpeedConfig(**(overall.change if overall is not None and overall.kept else {}))
        found = Tuning(
            device=environment.device_name(self.ranks.device),
            device_count=self.ranks.world_size,
            batch_size_per_device=self.spec.batch_per_device,
            precision=self.spec.precision,
            torch_version=torch.__version__,
            threads=self.threads,
            trials=trials,
            overall=overall,
            speed=chosen,
            wall_s=time.monotonic() - self.begun,
        )
        if self.ranks.is_first:
            self.folder.write(NAME, found.model_dump())

    def say(self, trial: Trial) -> None:
        """A line of progress."""
        if self.ranks.is_first:
            print(f"{written(trial.change, prefix='')}: {trial.why}", flush=True)

    def tried(self, kept: SpeedConfig, change: dict[str, Any], seconds: float) -> Trial:
        """A change on top of what was kept, but for a second way to do what is done already."""
        if "adam" in change and kept.adam != "default":
            return Trial(change=change, kept=False, why=f"not tried: adam={kept.adam} is kept")
        return self.trial(kept, change, seconds)

    def trial(self, kept: SpeedConfig, change: dict[str, Any], seconds: float) -> Trial:
        """Let the kept switches and those with the change take turns for so long."""
        wanted = kept.model_copy(update=change)
        base = Candidate(self.spec, self.ranks, kept, self.batch, self.threads)
        changed, failure = None, None
        try:
            with apply_switches.convert_compiler_errors():
                changed = Candidate(self.spec, self.ranks, wanted, self.batch, self.threads)
        except (GbenchError, RuntimeError) as error:
            failure = self.told(error)
        failures = self.failures(change, failure)
        if not failures and changed is not None:
            try:
                found, steps = self.take_turns(base, changed, seconds)
            except RuntimeError as error:  # a captured graph keeps its memory while the other one needs as much
                if self.ranks.world_size > 1:
                    raise  # the other ranks wait within the step
                failures = [self.told(error)]
        if failures or changed is None:
            del base, changed
            self.forget()
            return Trial(change=change, kept=False, why=f"failed: {failures[0]}")
        trial = Trial(
            change=change,
            kept=found.low > 1 + LEAST_GAIN,
            why=verdict(found),
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            rounds=found.rounds,
            steps_per_block=steps,
            base=base.found(),
            changed=changed.found(),
        )
        del base, changed
        self.forget()
        return trial

    def told(self, error: Exception) -> str:
        """What failed, in a line."""
        place = out_of_memory(error, self.ranks.device)
        if place is not None:
            return f"{place} is out of memory"
        return error.what if isinstance(error, GbenchError) else str(error).strip().partition("\n")[0]

    def failures(self, change: dict[str, Any], failure: str | None) -> list[str]:
        """What went wrong with a change on any rank, alike on all.

        Raises:
            RunFailed: on this rank alone. The others wait for its gradients, and are ended with it.
            RuntimeError: another rank has ended, and has said why.
        """
        asked = time.monotonic()
        try:
            told = self.ranks.gather(failure, self.apart)
        except RuntimeError as error:
            if failure is None or time.monotonic() - asked < ALONE_S:
                raise
            raise RunFailed(
                f"{written(change)} failed on rank {self.ranks.rank} and not on all: {failure}",
                "see what that process, or its device, lacks beside the others",
            ) from error
        return [one for one in told if one is not None]

    def take_turns(self, base: Candidate, changed: Candidate, seconds: float) -> tuple[PairedRatio, int]:
        """Rounds of blocks until the time is over, or the change has clearly lost."""
        steps = math.ceil(BLOCK_S / min(base.block(1) for _ in range(3)))  # a single step says little of those to come
        rounds: list[tuple[float, float]] = []
        spent = 0.0
        while True:
            first, second = (base, changed) if len(rounds) % 2 == 0 else (changed, base)
            taken = {id(arm): 0.0 for arm in (base, changed)}
            for arm in (first, second, second, first):
                taken[id(arm)] += arm.block(steps)
            rounds.append((taken[id(base)], taken[id(changed)]))
            spent += sum(rounds[-1])
            if len(rounds) < MIN_ROUNDS:
                continue
            found = ratio_of_rounds(rounds)
            if spent >= seconds or found.high < 1 + LEAST_GAIN:
                self.left_s -= spent
                return found, steps

    def forget(self) -> None:
        """Give back what a trial took."""
        gc.collect()
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()  # it compiles one piece of code a few times only, and then no more
        if self.ranks.device.type == "cuda":
            torch.cuda.empty_cache()


def verdict(found: PairedRatio) -> str:
    """Why a change is kept or not."""
    figures = f"{found.ratio:.3f} times as fast ({found.low:.3f} to {found.high:.3f})"
    if found.low > 1 + LEAST_GAIN:
        return f"{figures}: kept"
    if found.high < 1:
        return f"{figures}: slower"
    if found.high < 1 + LEAST_GAIN:
        return f"{figures}: gains less than {LEAST_GAIN:.0%}"
    return f"{figures}: not surely faster by {LEAST_GAIN:.0%}"
