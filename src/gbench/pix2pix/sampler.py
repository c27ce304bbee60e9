"""Which samples a rank draws in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch.utils.data import DistributedSampler

Key = tuple[int, int]  # epoch, index into the dataset


class EpochSampler(DistributedSampler[Key]):
    """torch's DistributedSampler, handing out (epoch, index).

    The epoch travels with each index, so that loader processes which outlive an epoch know it too: what is drawn for a
    sample can then depend on seed, epoch and index alone, and on no number of ranks or processes.
    """

    def __iter__(self) -> Iterator[Key]:
        for index in cast(Iterator[int], super().__iter__()):
            yield self.epoch, index
