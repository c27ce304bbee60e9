"""What a pix2pix step asks of a device: its operations, and the shape that most of them have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gbench.measure.op_count import count_calls, count_work
from gbench.measure.peak import ConvShape
from gbench.pix2pix.nets.networks import build_networks
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.model import Pix2Pix
from gbench.settings.spec import RunSpec


@dataclass(frozen=True)
class WorkPerImage:
    """Floating-point operations, and bytes read and written by the operations one by one; None: not known."""

    flop: int
    bytes: int | None


def work_per_image(spec: RunSpec) -> WorkPerImage:
    """An image's share of a training step, counted at the crop's size on a device's whole batch: the images share what
    the step moves for its weights.

    Bytes are not known under autocast, which casts nothing on the meta device that they are counted on.
    Building the networks sets torch's seed.
    """
    batch = spec.batch_per_device
    step = count_work(_step_on_meta(spec))
    in_fp32 = precision.AUTOCAST[spec.precision] is None
    return WorkPerImage(step.flop // batch, step.bytes // batch if in_fp32 else None)


def flop_of_calls(spec: RunSpec) -> dict[str, list[int]]:
    """Floating-point operations of each convolution of a device's training step, in order, by operator; as above."""
    return count_calls(_step_on_meta(spec))


def _step_on_meta(spec: RunSpec) -> Callable[[], object]:
    batch, side = spec.batch_per_device, spec.config.data.crop_size
    with torch.device("meta"):
        model = Pix2Pix(*build_networks(spec))
        pair = [torch.empty(batch, 3, side, side) for _ in range(2)]
    return lambda: model.train_step(*pair)


def main_convolution(spec: RunSpec) -> ConvShape:
    """The residual blocks' 3x3 convolution, in which a ResNet generator spends most of its time (for a U-Net, one of
    like size): four times ngf channels at a quarter of the crop's side."""
    return ConvShape(spec.batch_per_device, 4 * spec.config.network.ngf, spec.config.data.crop_size // 4)
