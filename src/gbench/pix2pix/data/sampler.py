"""Order of the pairs that a rank gets."""

from collections.abc import Iterator
from itertools import islice
from typing import cast

from torch.utils.data import DistributedSampler

Key = tuple[int, int]  # epoch, index into the dataset


class EpochSampler(DistributedSampler[Key]):
    """torch's DistributedSampler, which yields (epoch, index).

    With the epoch, loader processes that outlive it draw crop and flip of a pair from seed, epoch and index alone.

    Attributes:
        skip: first pairs of this rank to leave out in the next epoch, for a run that resumes within it.
    """

    skip = 0

    def __iter__(self) -> Iterator[Key]:
        skipped, self.skip = self.skip, 0
        for index in islice(cast(Iterator[int], super().__iter__()), skipped, None):
            yield self.epoch, index
