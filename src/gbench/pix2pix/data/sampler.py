"""Which samples a rank draws in which order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

from torch.utils.data import DistributedSampler

Key = tuple[int, int]  # epoch, index into the dataset


class EpochSampler(DistributedSampler[Key]):
    """torch's DistributedSampler, handing out (epoch, index).

    Attributes:
        skip: samples of this rank that the next epoch leaves out at its beginning, where a run resumes in its middle.

    The epoch travels with each index, so that loader processes which outlive an epoch know it too: what is drawn for a
    sample can then depend on seed, epoch and index alone, and on no number of ranks or processes.
    """

    skip = 0

    def __iter__(self) -> Iterator[Key]:
        skipped, self.skip = self.skip, 0
        for index in islice(cast(Iterator[int], super().__iter__()), skipped, None):
            yield self.epoch, index
