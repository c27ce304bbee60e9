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

    def median(call: Callable[[], object]) -> CallTime:
        return median_call(clock_for(device), call, seconds / 3)

    with torch.no_grad():
        gemm, conv, copy = (
            median(call) for call in (lambda: a @ b, lambda: F.conv2d(x, w, padding=1), lambda: target.copy_(source))
        )
    tera, giga = 2 * side**3 / 1e12, 2 * COPY_BYTES[device.type] / 1e9  # a multiply-add is two operations
    per_cpu = {
        "gemm_tflop_cpu_s": tera / gemm.cpu_s,
        "conv_tflop_cpu_s": shape.flop / 1e12 / conv.cpu_s,
        "copy_gb_cpu_s": giga / copy.cpu_s,
    }
    return PeakFacts(
        gemm_tflop_s=tera / gemm.wall_s,
        conv_tflop_s=shape.flop / 1e12 / conv.wall_s,
        copy_gb_s=giga / copy.wall_s,
        **(per_cpu if device.type == "cpu" else {}),
    )


class CallTime(NamedTuple):
    wall_s: float
    cpu_s: float
    """Of all threads of this process."""


def median_call(clock: StepClock, call: Callable[[], object], seconds: float) -> CallTime:
    """Median times of a call, over as many as fit into `seconds`, at least three, after two warm-up calls.

    Short calls are timed in batches of BACK_TO_BACK_S, to exclude the start of an idle GPU.
    """

    def run(calls: int) -> CallTime:
        began_s = time.process_time()
        clock.start()
        clock.batch_ready()
        for _ in range(calls):
            call()
        clock.step_done()
        (taken,) = clock.read()
        return CallTime(taken.step_s, time.process_time() - began_s)

    run(2)
    calls = 1
    while (taken := run(calls)).wall_s < BACK_TO_BACK_S:
        calls *= 2
    runs = [taken]
    while len(runs) < 3 or sum(one.wall_s for one in runs) < seconds:
        runs.append(run(calls))
    wall_s, cpu_s = (statistics.median(times) / calls for times in zip(*runs, strict=True))
    return CallTime(wall_s, cpu_s)
