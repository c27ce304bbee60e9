"""What a pix2pix step asks of a device: its operations, and the shape that most of them have."""

from __future__ import annotations

import torch

from gbench.measure.peak import ConvShape
from gbench.measure.work import Work, count_work
from gbench.pix2pix.model import Pix2Pix
from gbench.pix2pix.networks import build_networks
from gbench.settings.spec import RunSpec


def work_per_image(spec: RunSpec) -> Work:
    """Operations and bytes of one training step on one image, counted in FP32 at the size of the crop."""
    side = spec.config.data.crop_size
    with torch.device("meta"):
        model = Pix2Pix(*build_networks(spec))
        pair = [torch.empty(1, 3, side, side) for _ in range(2)]
    return count_work(lambda: model.train_step(*pair))


def main_convolution(spec: RunSpec) -> ConvShape:
    """The residual blocks' 3x3 convolution, in which a ResNet generator spends most of its time (for a U-Net, one of
    like size): four times ngf channels at a quarter of the crop's side."""
    return ConvShape(spec.batch_per_device, 4 * spec.config.network.ngf, spec.config.data.crop_size // 4)
