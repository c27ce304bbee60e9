"""Bytes that a step takes, counted on torch's `meta` device, by arithmetic on its tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gbench.measure.storage_count import count_memory

MIB = 1 << 20


def two_convolutions() -> Callable[[], Tensor]:
    """Of one weight of 4 MiB, on an image of 2 MiB, each with a result of 2 MiB, in float32."""
    weight = torch.empty(1024, 1024, 1, 1, device="meta", requires_grad=True)
    image = torch.empty(1, 1024, 16, 32, device="meta")
    return lambda: torch.conv2d(torch.conv2d(image, weight), weight)


@pytest.mark.parametrize(
    ("autocast", "allocated_mib"),
    [
        (None, 4 + 2 + 2 + 2),
        (torch.bfloat16, 4 + 2 + (2 + 1) + 1 + 1),  # the weight is cast once for both, the first result not at all
    ],
)
def test_autocast_keeps_casts_beside_what_they_were_made_of(autocast: torch.dtype | None, allocated_mib: int) -> None:
    assert count_memory(two_convolutions, on_gpu=False, autocast=autocast)[0] == allocated_mib * MIB
