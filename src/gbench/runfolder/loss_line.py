"""Upstream's log line, character for character: written by our runs for its parsers, read from its logs and ours.

    (epoch: 200, iters: 100, time: 0.043, data: 0.233) G_GAN: 3.030 G_L1: 16.428 D_real: 0.411 D_fake: 0.096

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `print_current_losses`; train.py decides
what its times are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LINE = re.compile(r"\(epoch: (\d+), iters: (\d+), time: ([^ ,]+), data: ([^ ,)]+)\) (.+)")


@dataclass(frozen=True)
class LossLine:
    """What a line says.

    iters: images of this epoch so far, over all devices. compute_s: seconds an image, data wait excluded. data_s:
    seconds the step waited for its whole batch. losses: by name.
    """

    epoch: int
    iters: int
    compute_s: float
    data_s: float
    losses: dict[str, float]


def loss_line(epoch: int, iters: int, compute_s: float, data_s: float, losses: Mapping[str, float]) -> str:
    """One line of the training log; the arguments are LossLine's."""
    values = "".join(f"{name}: {value:.3f} " for name, value in losses.items())
    return f"(epoch: {epoch}, iters: {iters}, time: {compute_s:.3f}, data: {data_s:.3f}) {values}"


def read_loss_line(text: str) -> LossLine | None:
    """What a line of a log says; None where it is another one. Raises ValueError: a figure of it is no number."""
    match = LINE.search(text)
    if match is None:
        return None
    losses = {name: float(value) for name, value in re.findall(r"(\w+): (\S+)", match[5])}
    return LossLine(int(match[1]), int(match[2]), float(match[3]), float(match[4]), losses)
