"""Normalisation layers of both networks (upstream `models/networks.py` at 003efc4c, `get_norm_layer`)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from gbench.pix2pix.nets.choices import pick


@dataclass(frozen=True)
class Norm:
    """A kind of normalisation.

    make: builds the layer for a number of channels.
    conv_bias: whether the convolution before it has a bias. Upstream gives it one only for instance norm: not with
        batch norm, whose shift replaces it, and not without normalisation either.
    """

    make: Callable[[int], nn.Module]
    conv_bias: bool


NORMS = {
    "batch": Norm(nn.BatchNorm2d, conv_bias=False),
    "instance": Norm(partial(nn.InstanceNorm2d, affine=False, track_running_stats=False), conv_bias=True),
    "none": Norm(nn.Identity, conv_bias=False),
}


def build_norm(norm: str) -> Norm:
    """The `batch`, `instance` or `none` normalisation. Raises UsageError: unknown name."""
    return pick("norm", norm, NORMS)
