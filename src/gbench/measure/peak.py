"""What the device can do, measured: the bounds that a step's speed is held against.

Two kernels at sizes that fill a device, in the precision of the run: a matrix product, and a 3x3 convolution of the
shape that the caller's model spends its time in. And a copy, for memory bandwidth.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from gbench.measure.clock import clock_for

GEMM_SIDE = {"cuda": 8192, "cpu": 1024}
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 27}


@dataclass(frozen=True)
class Peak:
    """Medians of repeated calls. gemm_tflop_s, conv_tflop_s: 10^12 operations a second (a multiply-add is two);
    copy_gb_s: 10^9 bytes a second, read and written."""

    gemm_tflop_s: float
    conv_tflop_s: float
    copy_gb_s: float

    @property
    def tflop_s(self) -> float:
        """The better of the two kernels."""
        return max(self.gemm_tflop_s, self.conv_tflop_s)


@dataclass(frozen=True)
class ConvShape:
    """A 3x3 convolution that keeps its size: (batch, channels, side, side) to the same."""

    batch: int
    channels: int
    side: int

    @property
    def flop(self) -> int:
        """Operations of one call."""
        return 2 * 9 * self.channels**2 * self.batch * self.side**2


def measure_peak(device: torch.device, dtype: torch.dtype, shape: ConvShape, seconds: float) -> Peak:
    """Measure for about `seconds`, a third for each kernel.

    Args:
        dtype: float32 runs in whatever torch.backends says (IEEE or TF32); float16, bfloat16 as they are.
    """
    side = GEMM_SIDE[device.type]
    own = torch.Generator(device).manual_seed(0)  # the run's own random numbers stay where they are

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=own, device=device, dtype=dtype)

    a, b = draw(side, side), draw(side, side)
    x = draw(shape.batch, shape.channels, shape.side, shape.side)
    w = draw(shape.channels, shape.channels, 3, 3)
    source = torch.empty(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    with torch.no_grad():
        gemm_s = _median_s(device, lambda: a @ b, seconds / 3)
        conv_s = _median_s(device, lambda: F.conv2d(x, w, padding=1), seconds / 3)
        copy_s = _median_s(device, lambda: target.copy_(source), seconds / 3)
    return Peak(2 * side**3 / gemm_s / 1e12, shape.flop / conv_s / 1e12, 2 * COPY_BYTES[device.type] / copy_s / 1e9)


def _median_s(device: torch.device, call: Callable[[], object], seconds: float) -> float:
    """Median time of a call, over as many as fit into `seconds`; at least three, after two that are not counted."""
    clock = clock_for(device)
    for _ in range(2):
        call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        clock.start()
        clock.batch_ready()
        call()
        clock.step_done()
        times += [taken.step_s for taken in clock.read()]
    return statistics.median(times)
