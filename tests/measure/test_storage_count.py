"""Bytes that a step takes, counted on torch's `meta` device, by arithmetic on its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gbench.measure.storage_count import count_memory

MIB = 1 << 20


def tensors() -> tuple[Tensor, Tensor]:
    """A weight of 4 MiB, and an image of 2 MiB of which a convolution by it makes another of 2 MiB, in float32."""
    weight = torch.empty(1024, 1024, 1, 1, device="meta", requires_grad=True)
    return weight, torch.empty(1, 1024, 16, 32, device="meta")


def two_convolutions() -> Callable[[], Tensor]:
    weight, image = tensors()
    return lambda: torch.conv2d(torch.conv2d(image, weight), weight)


def trained_transposed() -> Callable[[], None]:
    weight, image = tensors()
    return lambda: F.conv_transpose2d(image, weight).mean().backward()


def dropped() -> Callable[[], Tensor]:
    image = torch.empty(4, 2**19, device="meta")
    return lambda: F.dropout(image, 0.5)


@pytest.mark.parametrize(
    ("prepare", "on_gpu", "autocast", "mib"),
    [
        (two_convolutions, False, None, 4 + 2 + 2 + 2),
        # the weight is cast once for both, the first result not at all
        (two_convolutions, False, torch.bfloat16, 4 + 2 + (2 + 1) + 1 + 1),
        (two_convolutions, True, None, 4 + 2 + 2 + 2 + 2),  # the image unfolded
        (dropped, True, None, 8 + 8 + 2),  # a mask of bytes
    ],
)
def test_peak(prepare: Callable[[], Any], on_gpu: bool, autocast: torch.dtype | None, mib: float) -> None:
    assert count_memory(prepare, on_gpu, autocast)[0] == mib * MIB


def test_peak_of_a_backward_pass() -> None:
    """In the second step both gradients of the weight are there, and that of the result."""
    without, unfolded = (count_memory(trained_transposed, on_gpu, None)[0] for on_gpu in (False, True))
    assert without // MIB == 4 + 2 + 4 + 4 + 2
    assert unfolded - without == 2 * MIB
