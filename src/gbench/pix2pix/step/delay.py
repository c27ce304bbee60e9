"""A known extra time in each step, with which `gbench calibrate` tests what its gates find."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from gbench.errors import UsageError
from gbench.settings.literals import STEP_DELAY

Losses = TypeVar("Losses")
TRIED = 10_000_000  # cycles that show how long one is


def with_delay(train_step: Callable[..., Losses], device: torch.device) -> Callable[..., Losses]:
    """`train_step`, longer by the seconds that the variable STEP_DELAY says, on the device; unchanged without it.

    Raises UsageError: the variable is no number of seconds.
    """
    text = os.environ.get(STEP_DELAY)
    if text is None:
        return train_step
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 10:
        raise UsageError(f"variable {STEP_DELAY} {text!r} is no time of at most 10 seconds", "leave it out")
    delay = _on_gpu(seconds, device) if device.type == "cuda" else lambda: _spin(seconds)

    def delayed(*batch: Any) -> Losses:
        losses = train_step(*batch)
        delay()
        return losses

    return delayed


def _spin(seconds: float) -> None:
    """Wait without a sleep, which would take 0.06 ms longer."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _on_gpu(seconds: float, device: torch.device) -> Callable[[], None]:
    """Keep the stream waiting: a wait of the host would be hidden where it is ahead of the GPU."""
    sleep: Callable[[int], None] = torch.cuda._sleep
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        sleep(TRIED)
        first.record()
        sleep(TRIED)
        last.record()
        last.synchronize()
        cycles = round(seconds * TRIED / (first.elapsed_time(last) / 1000))
    return lambda: sleep(cycles)
