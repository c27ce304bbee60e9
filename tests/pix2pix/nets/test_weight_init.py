"""Weight initialisation: the distribution of each kind, and the seed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gbench.pix2pix import build_discriminator, build_generator, init_weights

FAN_IN, FAN_OUT = 64 * 9, 128 * 9


@pytest.mark.parametrize(
    ("init_type", "std"),
    [
        ("normal", 0.05),
        ("xavier", 0.05 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        ("kaiming", math.sqrt(2 / FAN_IN)),  # whatever the gain
    ],
)
def test_convolutions_are_drawn_with_the_kinds_spread(init_type: str, std: float) -> None:
    layer = nn.Conv2d(64, 128, 3)
    init_weights(layer, init_type, gain=0.05)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)  # 73,728 draws: 0.3 % standard error
    assert layer.weight.mean().abs().item() < 0.02 * std
    assert not layer.bias.any()


def test_orthogonal_rows_are_orthogonal_and_as_long_as_the_gain() -> None:
    layer = nn.Linear(32, 8)
    init_weights(layer, "orthogonal", gain=0.5)
    torch.testing.assert_close(layer.weight @ layer.weight.T, 0.25 * torch.eye(8), atol=1e-6, rtol=0)


def test_batch_norm_is_drawn_around_one() -> None:
    layer = nn.BatchNorm2d(4096)
    nn.init.ones_(layer.bias)
    init_weights(layer, gain=0.02)
    assert layer.weight.mean().item() == pytest.approx(1, abs=0.002)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not layer.bias.any()


def test_networks_come_initialised() -> None:
    first = next(build_generator("resnet_6blocks", ngf=32).parameters())
    assert first.std().item() == pytest.approx(0.02, rel=0.05)
    first = next(build_discriminator("basic", ndf=32, init_gain=0.1).parameters())
    assert first.std().item() == pytest.approx(0.1, rel=0.1)


def test_one_seed_one_network() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build_generator("unet_128", ngf=2).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
