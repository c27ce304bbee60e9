"""Measure the peak speed of a device: matrix product and main convolution in the run's precision, and copy."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from gbench.measure.clock import StepClock, clock_for
from gbench.runfolder.environment_facts import PeakFacts

GEMM_SIDE = {"cuda": 8192, "cpu": 1024}
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 27}
BACK_TO_BACK_S = 0.02  # thousands of times the launch of a kernel


@dataclass(frozen=True)
class ConvShape:
    """A 3x3 convolution of (batch, channels, side, side) to the same shape."""

    batch: int
    channels: int
    side: int

    @property
    def flop(self) -> int:
        return 2 * 9 * self.channels**2 * self.batch * self.side**2


class Kernel(NamedTuple):
    call: Callable[[], object]
    work: float
    """Of a call: TFLOP of a product, GB of a copy."""


def kernels(device: torch.device, dtype: torch.dtype, shape: ConvShape | None = None) -> dict[str, Kernel]:
    """What is timed of a device: `gemm`, `copy` and, with a shape, `conv`. float32 runs as torch.backends says."""
    side, size = GEMM_SIDE[device.type], COPY_BYTES[device.type]
    own = torch.Generator(device).manual_seed(0)  # leaves the random numbers of the run unchanged

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=own, device=device, dtype=dtype)

    a, b = draw(side, side), draw(side, side)
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found = {
        "gemm": Kernel(lambda: a @ b, 2 * side**3 / 1e12),  # a multiply-add is two operations
        "copy": Kernel(lambda: target.copy_(source), 2 * size / 1e9),
    }
    if shape is not None:
        x = draw(shape.batch, shape.channels, shape.side, shape.side)
        w = draw(shape.channels, shape.channels, 3, 3)
        found["conv"] = Kernel(lambda: F.conv2d(x, w, padding=1), shape.flop / 1e12)
    return found


def measure_peak(device: torch.device, dtype: torch.dtype, shape: ConvShape, seconds: float) -> PeakFacts:
    """Measure for about `seconds`, a third for each kernel. dtype: as `kernels`."""
    units = {"gemm": "gemm_tflop", "conv": "conv_tflop", "copy": "copy_gb"}
    speeds: dict[str, float] = {}
    with torch.no_grad():
        for name, (call, work) in kernels(device, dtype, shape).items():
            taken = median_call(clock_for(device), call, seconds / 3)
            speeds[f"{units[name]}_s"] = work / taken.wall_s
            if device.type == "cpu":
                speeds[f"{units[name]}_cpu_s"] = work / taken.cpu_s
    return PeakFacts(**speeds)


class CallTime(NamedTuple):
    wall_s: float
    cpu_s: float
    """Of all threads of this process."""


class TimedCall:
    """A call that is timed again and again, after two warm-up calls.

    A short call is timed in batches of BACK_TO_BACK_S, to exclude the start of an idle GPU.

    Attributes:
        calls: in a batch. first: the mean times of a call in the first one.
    """

    def __init__(self, clock: StepClock, call: Callable[[], object]) -> None:
        self._clock, self._call = clock, call
        self._run(2)
        self.calls = 1
        while (taken := self._run(self.calls)).wall_s < BACK_TO_BACK_S:
            self.calls *= 2
        self.first = self._each(taken)

    def time(self) -> CallTime:
        """The mean times of a call in another batch."""
        return self._each(self._run(self.calls))

    def _each(self, taken: CallTime) -> CallTime:
        return CallTime(taken.wall_s / self.calls, taken.cpu_s / self.calls)

    def _run(self, calls: int) -> CallTime:
        began_s = time.process_time()
        self._clock.start()
        self._clock.batch_ready()
        for _ in range(calls):
            self._call()
        self._clock.step_done()
        (taken,) = self._clock.read()
        return CallTime(taken.step_s, time.process_time() - began_s)


def median_call(clock: StepClock, call: Callable[[], object], seconds: float) -> CallTime:
    """Median times of a call, over as many batches as fit into `seconds`, at least three."""
    timed = TimedCall(clock, call)
    runs = [timed.first]
    while len(runs) < 3 or sum(one.wall_s for one in runs) * timed.calls < seconds:
        runs.append(timed.time())
    wall_s, cpu_s = (statistics.median(times) for times in zip(*runs, strict=True))
    return CallTime(wall_s, cpu_s)
