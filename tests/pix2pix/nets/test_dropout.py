"""Our dropout against torch's: outputs, gradients and the random numbers after it, bit by bit."""

import pytest
import torch
from torch import Tensor, nn

from gbench.pix2pix.nets.dropout import PART, Dropout

SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (1, 64, 16, 16), (1, 5, PART // 5, 1), (2, 32, 64, 65)]


def after(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Output, gradient, and the next random numbers."""
    x = x.detach().requires_grad_()
    torch.manual_seed(3)
    y: Tensor = layer(x)
    y.backward(torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape))
    assert x.grad is not None
    return y.detach(), x.grad, torch.rand(5)


def require_alike(x: Tensor, p: float = 0.5, training: bool = True) -> None:
    ours, torchs = (after(layer(p).train(training), x) for layer in (Dropout, nn.Dropout))
    for one, other in zip(ours, torchs, strict=True):
        assert torch.equal(one, other) and one.stride() == other.stride()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [0.5, 0.3])
def test_the_same_elements_are_dropped(shape: tuple[int, ...], p: float) -> None:
    require_alike(torch.randn(shape), p)


def test_layouts_types_and_evaluation_are_those_of_torch() -> None:
    x = torch.randn(2, 8, 9, 7)
    require_alike(x.contiguous(memory_format=torch.channels_last))
    require_alike(x.transpose(1, 2))
    require_alike(x.double())
    require_alike(x.bfloat16())
    require_alike(x, training=False)
    require_alike(x, p=0.0)
