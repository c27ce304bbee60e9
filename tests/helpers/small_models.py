"""A small pix2pix model, and pairs of images to train it on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gbench.pix2pix import Pix2Pix, build_discriminator, build_generator


def small_model(norm: str = "batch", dropout: bool = True, **settings: Any) -> Pix2Pix:
    torch.manual_seed(0)
    generator = build_generator("resnet_6blocks", ngf=4, norm=norm, dropout=dropout)
    return Pix2Pix(generator, build_discriminator("basic", ndf=4, norm=norm), **settings)


def pairs(count: int = 2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Label-like blocks of colour, and a smooth image that follows from them."""
    generator = torch.Generator().manual_seed(seed)
    real_A = F.interpolate(torch.rand(count, 3, 4, 4, generator=generator) * 2 - 1, scale_factor=8)
    return real_A, F.avg_pool2d(real_A.flip(1), 5, stride=1, padding=2)
