"""Deterministic runs: padding with a fixed order of sums, and the seeds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gbench.pix2pix import build_generator
from gbench.pix2pix.nets.determinism import (
    SliceReflectionPad2d,
    choose_kernels,
    replace_reflection_padding,
    seed_image,
    seed_noise,
    seed_weights,
)


@pytest.mark.parametrize("padding", [1, 3])
def test_padding_by_slices_is_reflection_padding(padding: int) -> None:
    x = torch.randn(2, 3, 7, 9, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours, theirs = SliceReflectionPad2d(padding)(x), nn.ReflectionPad2d(padding)(y)
    assert torch.equal(ours, theirs)
    weight = torch.randn_like(ours)
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_replacing_padding_keeps_weights_and_output() -> None:
    torch.manual_seed(0)
    generator = build_generator("resnet_6blocks", ngf=4, dropout=False).eval()
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before, keys = generator(x), list(generator.state_dict())
        replace_reflection_padding(generator)
        assert torch.equal(generator(x), before)
    assert list(generator.state_dict()) == keys
    kinds = [type(module) for module in generator.modules()]
    assert nn.ReflectionPad2d not in kinds
    assert kinds.count(SliceReflectionPad2d) == 14


def test_ranks_draw_the_same_weights_and_their_own_noise() -> None:
    def draw(seed: int, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        seed_weights(seed)
        weights = torch.randn(4)
        seed_noise(seed, rank)
        return weights, torch.randn(4)

    (w0, n0), (w1, n1), (w2, n2) = draw(5, 0), draw(5, 1), draw(6, 0)
    assert torch.equal(w0, w1) and not torch.equal(w0, w2)
    assert not torch.equal(n0, n1) and not torch.equal(n0, n2)
    assert torch.equal(draw(5, 1)[1], n1)


def test_an_image_is_seeded_as_by_torch() -> None:
    seed_image(5, 7)
    drawn = torch.rand(4)
    torch.manual_seed((6 << 20) + 7)
    assert torch.equal(drawn, torch.rand(4))


def test_deterministic_kernels_can_be_chosen_and_left() -> None:
    try:
        choose_kernels(deterministic=True, one_size=True)
        assert (
            torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
        )
        assert not torch.backends.cudnn.benchmark
    finally:
        choose_kernels(deterministic=False, one_size=True)
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
