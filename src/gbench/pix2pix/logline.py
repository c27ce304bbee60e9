"""Upstream's log line, character for character, so that existing parsers read our logs.

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `print_current_losses`.
"""

from __future__ import annotations

from collections.abc import Mapping


def loss_line(epoch: int, iters: int, compute_s: float, data_s: float, losses: Mapping[str, float]) -> str:
    """One line of the training log.

    Args:
        iters: images of this epoch so far, over all devices.
        compute_s: seconds an image, data wait excluded. data_s: seconds this step waited for its batch.
    """
    values = "".join(f"{name}: {value:.3f} " for name, value in losses.items())
    return f"(epoch: {epoch}, iters: {iters}, time: {compute_s:.3f}, data: {data_s:.3f}) {values}"
