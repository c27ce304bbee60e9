"""GAN objectives against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix import build_gan_loss

LOGITS = [-3.0, -0.5, 0.0, 2.0]


@pytest.mark.parametrize(
    ("gan_mode", "real", "formula"),
    [
        ("vanilla", True, lambda x: -math.log(1 / (1 + math.exp(-x)))),
        ("vanilla", False, lambda x: -math.log(1 - 1 / (1 + math.exp(-x)))),
        ("lsgan", True, lambda x: (x - 1) ** 2),
        ("lsgan", False, lambda x: x**2),
        ("wgangp", True, lambda x: -x),
        ("wgangp", False, lambda x: x),
    ],
)
def test_loss_is_the_mean_of_its_formula(gan_mode: str, real: bool, formula: object) -> None:
    assert callable(formula)
    loss = build_gan_loss(gan_mode)(torch.tensor(LOGITS).reshape(2, 1, 1, 2), real)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(sum(map(formula, LOGITS)) / len(LOGITS), rel=1e-6)


def test_vanilla_takes_logits_that_a_sigmoid_would_saturate() -> None:
    assert build_gan_loss("vanilla")(torch.tensor([200.0]), False).item() == 200.0


def test_unknown_mode_is_answered_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"gan_mode is 'hinge'.*vanilla, lsgan, wgangp"):
        build_gan_loss("hinge")
