"""One rank's part in a tuning: two models alternate, with and without a switch of `speed`; a faster switch is kept.

They share initial weights and a batch, so that only computing is timed. The slowest rank's times decide for all.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch

from gbench.errors import GbenchError, RunFailed
from gbench.measure import environment
from gbench.measure.paired_ratio import PairedRatio, ratio_of_rounds
from gbench.pix2pix.data.open_loader import open_loader
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.ranks.heartbeat import Heartbeat, hang_limit_s
from gbench.pix2pix.ranks.out_of_memory import out_of_memory
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.tuning_candidate import Candidate
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import LEAST_GAIN, NAME, Trial, Tuning
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec
from gbench.settings.switches import CANDIDATES, why_not, written

BLOCK_S = 0.25  # a block takes at least this, or if the time of a trial is too short for it, at least SHORT_BLOCK_S
SHORT_BLOCK_S = 0.02
MIN_ROUNDS = 4
ALONE_S = 30.0  # how long a rank whose switch failed waits for the results of the others


class Tuner:
    """One rank's tuning. Raises: as `Trainer`."""

    def __init__(self, spec: RunSpec, folder: RunFolder, data_dir: Path, ranks: Ranks) -> None:
        assert spec.tuning is not None, "the spec of a training"
        self.spec, self.folder, self.ranks = spec, folder, ranks
        self.started_s = time.monotonic()
        determinism.choose_kernels(spec.deterministic, spec.config.data.preprocess != "scale_width")
        precision.set_precision(spec.precision, ranks.device)
        self.left_s = spec.tuning.max_time_s
        loader, _ = open_loader(spec, data_dir, Path(spec.cache_dir), None, ranks)
        real_A, real_B, _ = next(iter(loader))
        self.batch = [real_A, real_B]
        self.threads = torch.get_num_threads()
        # for the outcomes of a switch; other ranks may be exchanging gradients in the default group
        self.outcome_group = ranks.new_group(timedelta(seconds=ALONE_S))
        self.heartbeat, self.steps = Heartbeat(), 0

    def candidates(self) -> list[dict[str, Any]]:
        """The changes to try on this device, in order."""
        changes = [one for one in CANDIDATES if why_not(self.spec, SpeedConfig(**one)) is None]
        if self.ranks.device.type == "cuda":
            changes.remove({"adam": "foreach"})  # torch's default on a GPU
        cores = (psutil.cpu_count(logical=False) or self.threads) // self.spec.devices_per_node
        if self.ranks.device.type == "cpu" and 0 < cores < self.threads:
            changes.append({"threads": cores})
        return changes

    def run(self, heartbeat: Heartbeat | None = None) -> None:
        """Try each switch on top of those kept, then all kept ones against none; rank 0 writes tuning.json.

        heartbeat: where to note each block of steps; None: nobody watches.
        """
        self.heartbeat = heartbeat or self.heartbeat
        kept, trials, overall = SpeedConfig(), list[Trial](), None
        changes = self.candidates()
        for number, change in enumerate(changes):
            self.say(f"trying {written(change, prefix='')}, {number + 1} of {len(changes)}")
            trial = self.try_change(kept, change, self.left_s / (len(changes) - number + 1))
            trials.append(trial)
            self.say(f"{written(trial.change, prefix='')}: {trial.why}")
            kept = kept.model_copy(update=change) if trial.kept else kept
        if kept.on:
            self.say("trying all that was kept")
            overall = self.trial(SpeedConfig(), kept.on, self.left_s)
            self.say(f"{written(overall.change, prefix='')}: {overall.why}")
        chosen = SpeedConfig(**(overall.change if overall is not None and overall.kept else {}))
        tuning = Tuning(
            device=environment.device_name(self.ranks.device),
            device_count=self.ranks.world_size,
            batch_size_per_device=self.spec.batch_per_device,
            precision=self.spec.precision,
            torch_version=torch.__version__,
            threads=self.threads,
            trials=trials,
            overall=overall,
            speed=chosen,
            wall_s=time.monotonic() - self.started_s,
        )
        if self.ranks.is_first:
            self.folder.write(NAME, tuning.model_dump())
        self.heartbeat.beat(0, self.steps)

    def beat(self, times: Sequence[float] = ()) -> None:
        """Note that this rank goes on. times: of the last blocks; none: what comes may take long."""
        self.heartbeat.beat(hang_limit_s(self.spec.config.measure.hang_seconds, times), self.steps)

    def say(self, line: str) -> None:
        """Print a line of progress."""
        if self.ranks.is_first:
            print(line, flush=True)

    def try_change(self, kept: SpeedConfig, change: dict[str, Any], seconds: float) -> Trial:
        """Try a change on top of the kept switches, unless they already include another choice of the same switch."""
        if "adam" in change and kept.adam != "default":
            return Trial(change=change, kept=False, why=f"not tried: adam={kept.adam} is kept")
        return self.trial(kept, change, seconds)

    def trial(self, kept: SpeedConfig, change: dict[str, Any], seconds: float) -> Trial:
        """Alternate the kept switches without and with the change, for this time; then free its memory."""
        trial = self.alternate(kept, change, seconds)
        gc.collect()
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()  # it stops compiling a function after a few compilations
        if self.ranks.device.type == "cuda":
            torch.cuda.empty_cache()
        return trial

    def alternate(self, kept: SpeedConfig, change: dict[str, Any], seconds: float) -> Trial:
        """`trial`, with both models in memory."""
        self.beat()
        base = Candidate(self.spec, self.ranks, kept, self.batch, self.threads)
        changed, failure = None, None
        try:
            self.beat()
            with apply_switches.convert_compiler_errors():
                changed = Candidate(self.spec, self.ranks, kept.model_copy(update=change), self.batch, self.threads)
        except (GbenchError, RuntimeError) as error:
            failure = self.describe(error)
        failures = self.failures(change, failure)
        if not failures and changed is not None:
            try:
                ratio, steps = self.take_turns(base, changed, seconds)
            except RuntimeError as error:  # out of memory: a captured graph keeps its memory while the other model runs
                if self.ranks.world_size > 1:
                    raise  # the other ranks wait in the step
                failures = [self.describe(error)]
        if failures or changed is None:
            return Trial(change=change, kept=False, why=f"failed: {failures[0]}")
        return Trial(
            change=change,
            kept=ratio.low > 1 + LEAST_GAIN,
            why=verdict(ratio),
            **asdict(ratio),
            steps_per_block=steps,
            base=base.result(),
            changed=changed.result(),
        )

    def describe(self, error: Exception) -> str:
        """An error in one line."""
        place = out_of_memory(error, self.ranks.device)
        if place is not None:
            return f"{place} is out of memory"
        return error.what if isinstance(error, GbenchError) else str(error).strip().partition("\n")[0]

    def failures(self, change: dict[str, Any], failure: str | None) -> list[str]:
        """The failures of a change on all ranks, the same list on each. failure: this rank's.

        Raises:
            RunFailed: the change failed on this rank only; the others wait for its gradients and end with it.
            RuntimeError: another rank ended; it has reported why.
        """
        asked_s = time.monotonic()
        try:
            outcomes = self.ranks.gather(failure, self.outcome_group)
        except RuntimeError as error:
            if failure is None or time.monotonic() - asked_s < ALONE_S:
                raise
            raise RunFailed(
                f"{written(change)} failed on rank {self.ranks.rank} and not on all: {failure}",
                "compare that process and its device with the others",
            ) from error
        return [one for one in outcomes if one is not None]

    def take_turns(self, base: Candidate, changed: Candidate, seconds: float) -> tuple[PairedRatio, int]:
        """The ratio and the steps per block, from rounds until the time is over or the gain is surely too small."""
        block_s = min(BLOCK_S, max(SHORT_BLOCK_S, seconds / MIN_ROUNDS / 4))
        compiles = any(arm.switches.compile != "none" for arm in (base, changed))
        blocks: list[float] = []

        def block(arm: Candidate, steps: int) -> float:
            blocks.append(arm.block(steps))
            self.steps += steps
            self.beat([] if compiles else blocks)
            return blocks[-1]

        steps = math.ceil(block_s / min(block(base, 1) for _ in range(3)))  # of three, as single steps vary
        rounds: list[tuple[float, float]] = []
        spent = 0.0
        while True:
            first, second = (base, changed) if len(rounds) % 2 == 0 else (changed, base)
            taken = {id(arm): 0.0 for arm in (base, changed)}
            for arm in (first, second, second, first):
                taken[id(arm)] += block(arm, steps)
            rounds.append((taken[id(base)], taken[id(changed)]))
            spent += sum(rounds[-1])
            if len(rounds) < MIN_ROUNDS:
                continue
            ratio = ratio_of_rounds(rounds)
            if spent >= seconds or ratio.high < 1 + LEAST_GAIN:
                self.left_s -= spent
                return ratio, steps


def verdict(ratio: PairedRatio) -> str:
    """Whether a change is kept, and why."""
    figures = f"{ratio.ratio:.3f} times as fast ({ratio.low:.3f} to {ratio.high:.3f})"
    if ratio.low > 1 + LEAST_GAIN:
        return f"{figures}: kept"
    if ratio.high < 1:
        return f"{figures}: slower"
    if ratio.high < 1 + LEAST_GAIN:
        return f"{figures}: gains less than {LEAST_GAIN:.0%}"
    return f"{figures}: not surely faster by {LEAST_GAIN:.0%}"
