"""One of the two alternating models of a tuning: its time per step, its setup time, its memory."""

import time

import torch

from gbench.measure import environment
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import apply_switches, precision
from gbench.pix2pix.step.build_model import build_model
from gbench.runfolder.tuning_result import Arm
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec

WARM_UP = 3  # steps in which kernels are chosen and compiled, unless a capture needs more


class Candidate:
    """A model with some switches on, which trains in timed blocks.

    batch: real_A and real_B, (N, 3, height, width) on the device. threads: unless a switch sets them.
    """

    def __init__(
        self, spec: RunSpec, ranks: Ranks, switches: SpeedConfig, batch: list[torch.Tensor], threads: int
    ) -> None:
        self.switches, self._ranks, self._batch = switches, ranks, batch
        self._threads = switches.threads or threads
        with_switches = spec.config.model_copy(update={"speed": switches})
        self._model = build_model(spec.model_copy(update={"config": with_switches}), ranks)
        self._step = apply_switches.step_of(self._model, switches, ranks.world_size)
        self.memory_bytes, self.seconds, self.steps = 0, 0.0, 0
        warm_up = switches.steps_before_capture(ranks.world_size) or WARM_UP
        self._setup_steps = warm_up + 2  # not measured
        self.first_s = self._time(warm_up)
        environment.reset_memory_peaks(ranks.device)
        self.first_s += self._time(2)
        self._setup_bytes = self._peak()  # a graph allocates at its capture, not in replays
        assert self._model.fake_B is not None, "there was a step"
        precision.confirmed(spec.precision, self._model.fake_B.dtype)

    def _time(self, steps: int) -> float:
        """Seconds that these steps take, until their work on the device is done."""
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
        """Seconds of a block of steps on the slowest rank. Every rank must call it."""
        environment.reset_memory_peaks(self._ranks.device)
        mine = self._time(steps)
        taken = self._ranks.gather((mine, max(self._peak(), self._setup_bytes)))
        slowest: float = max(seconds for seconds, _ in taken)
        self.memory_bytes = max(self.memory_bytes, *(bytes_ for _, bytes_ in taken))
        self.seconds, self.steps = self.seconds + slowest, self.steps + steps
        return slowest

    def result(self) -> Arm:
        """Its figures over all blocks. Every rank must call it."""
        step_s = self.seconds / self.steps
        setup_s = max(0.0, max(self._ranks.gather(self.first_s)) - self._setup_steps * step_s)
        return Arm(switches=self.switches.on, step_s=step_s, setup_s=setup_s, memory_bytes=self.memory_bytes)
