"""Upstream's log line, character by character: written for parsers of upstream's logs, read from its logs and ours.

    (epoch: 200, iters: 100, time: 0.043, data: 0.233) G_GAN: 3.030 G_L1: 16.428 D_real: 0.411 D_fake: 0.096

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `print_current_losses`; its times are
defined in train.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

DIGITS = 18
LINE = re.compile(r"\(epoch: (\d+), iters: (\d+), time: ([^ ,]+), data: ([^ ,)]+)\) (.+)")


@dataclass(frozen=True)
class LossLine:
    epoch: int
    iters: int
    """Images of this epoch so far, over all devices."""
    compute_s: float
    """Seconds per image, data wait excluded."""
    data_s: float
    """Seconds that the step waited for its whole batch."""
    losses: dict[str, float]


def loss_line(epoch: int, iters: int, compute_s: float, data_s: float, losses: Mapping[str, float]) -> str:
    """One line of the training log; the arguments are LossLine's."""
    values = "".join(f"{name}: {value:.3f} " for name, value in losses.items())
    return f"(epoch: {epoch}, iters: {iters}, time: {compute_s:.3f}, data: {data_s:.3f}) {values}"


def read_loss_line(text: str) -> LossLine | None:
    """Parse a line of a log; None for any other line.

    Raises ValueError: a figure is not a number; epoch or iters have more than 18 digits, too many for 64 bits.
    """
    match = LINE.search(text)
    if match is None:
        return None
    if len(max(match[1], match[2], key=len)) > DIGITS:
        raise ValueError(f"epoch or iters have more than {DIGITS} digits")
    losses = {name: _figure(value) for name, value in re.findall(r"(\w+): (\S+)", match[5])}
    return LossLine(int(match[1]), int(match[2]), _figure(match[3]), _figure(match[4]), losses)


def _figure(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
