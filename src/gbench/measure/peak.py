"""Measure the peak speed of a device: matrix product and main convolution in the run's precision, and copy."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

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


def measure_peak(device: torch.device, dtype: torch.dtype, shape: ConvShape, seconds: float) -> PeakFacts:
    """Measure for about `seconds`, a third for each kernel. dtype: float32 runs as torch.backends says."""
    side = GEMM_SIDE[device.type]
    own = torch.Generator(device).manual_seed(0)  # leaves the random numbers of the run unchanged

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=own, device=device, dtype=dtype)

    a, b = draw(side, side), draw(side, side)
    x = draw(shape.batch, shape.channels, shape.side, shape.side)
    w = draw(shape.channels, shape.channels, 3, 3)
    source = torch.empty(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def median_s(call: Callable[[], object]) -> float:
        return median_call_s(clock_for(device), call, seconds / 3)

    with torch.no_grad():
        gemm_s = median_s(lambda: a @ b)
        conv_s = median_s(lambda: F.conv2d(x, w, padding=1))
        copy_s = median_s(lambda: target.copy_(source))
    return PeakFacts(
        gemm_tflop_s=2 * side**3 / gemm_s / 1e12,  # a multiply-add is two operations
        conv_tflop_s=shape.flop / conv_s / 1e12,
        copy_gb_s=2 * COPY_BYTES[device.type] / copy_s / 1e9,
    )


def median_call_s(clock: StepClock, call: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, over as many as fit into `seconds`, at least three, after two warm-up calls.

    Short calls are timed in batches of BACK_TO_BACK_S, to exclude the start of an idle GPU.
    """

    def run_s(calls: int) -> float:
        clock.start()
        clock.batch_ready()
        for _ in range(calls):
            call()
        clock.step_done()
        (taken,) = clock.read()
        return taken.step_s

    run_s(2)
    calls = 1
    while (taken_s := run_s(calls)) < BACK_TO_BACK_S:
        calls *= 2
    runs_s = [taken_s]
    while len(runs_s) < 3 or sum(runs_s) < seconds:
        runs_s.append(run_s(calls))
    return statistics.median(runs_s) / calls
