"""The base of all loaders, and the loader that decodes every file in every epoch.

>>> dataset = AlignedDataset(Path("data/facades"), DataConfig(), seed=0)
>>> loader = PairLoader(dataset, Share(batch_size=4, rank=0, world_size=1, drop_last=True), pin_memory=False)
>>> for epoch in range(2):
...     loader.set_epoch(epoch)
...     for real_A, real_B, paths in loader: ...
"""

import os
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing import queues
from typing import NamedTuple, cast

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler

from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.pix2pix.data.pairs import AlignedDataset, AlignedPair, Batch, Key, collate
from gbench.runners.log_failures import known_log_failure


class Share(NamedTuple):
    """A rank's share of each global batch, which has the same pairs for any number of ranks.

    An epoch that doesn't divide by the ranks is filled up from its start; drop_last ends it at the last whole batch.
    """

    batch_size: int
    """Pairs of this rank per step."""
    rank: int
    world_size: int
    drop_last: bool


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


class Loader(ABC):
    """The batches of one rank, epoch by epoch. Raises UsageError: with drop_last, they don't fill one global batch."""

    def __init__(self, dataset: AlignedDataset, share: Share) -> None:
        self.dataset, self._batch_size = dataset, share.batch_size
        whole = share.batch_size * share.world_size
        if share.drop_last and len(dataset) < whole:
            raise UsageError(
                f"{dataset.folder} gives {len(dataset)} images, fewer than one batch of {whole}",
                "take a smaller BATCH_SIZE, a larger dataset, or set schedule.drop_last to false",
            )
        self._sampler = EpochSampler(
            dataset, share.world_size, share.rank, dataset.config.shuffle, dataset.seed, share.drop_last
        )
        indices = cast(Iterable[int], self._sampler)  # keys in fact, which BatchSampler passes through
        self.batches = BatchSampler(indices, share.batch_size, share.drop_last)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Set the epoch (from 0) whose order, crops and flips the next iterator draws. skip: first batches to omit."""
        self._sampler.set_epoch(epoch)
        self._sampler.skip = skip * self._batch_size

    def __len__(self) -> int:
        """Batches per epoch, the same on every rank."""
        return len(self.batches)

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """The batches of the epoch that are not skipped."""

    def keys(self) -> Iterator[list[Key]]:
        return cast(Iterator[list[Key]], iter(self.batches))


class _ErrorsAsValues(Dataset["AlignedPair | GbenchError"]):
    """The dataset with expected errors as values, as an exception of a DataLoader's process would lose its class."""

    def __init__(self, dataset: AlignedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> AlignedPair | GbenchError:
        try:
            return self.dataset[key]
        except GbenchError as error:
            return error


def _start_process(_: int) -> None:
    """In the loader's processes: ignore SIGTERM, as the rank needs them until it has stopped, and ends them; and end
    when a batch can't be sent to the rank, which would wait for it for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    queues.Queue._on_queue_feeder_error = staticmethod(_end_process)  # type: ignore[attr-defined]


def _end_process(error: Exception, batch: object) -> None:
    """End this process by a signal, which torch's DataLoader notices: by SIGBUS if it is out of shared memory."""
    traceback.print_exc()
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGBUS if known_log_failure(str(error)) else signal.SIGABRT)


@contextmanager
def convert_loader_errors() -> Iterator[None]:
    """Convert the error that torch raises anywhere in a rank when a process of its loader has ended by a signal.

    Raises InfrastructureError: the process was out of shared memory.
    """
    try:
        yield
    except RuntimeError as error:
        if (known := known_log_failure(f"{error} {error.__cause__}")) is None:
            raise
        raise InfrastructureError(f"the data loader failed: {known[0]}", known[1]) from error


class PairLoader(Loader):
    """Decodes, scales, crops and flips every pair each time, as upstream does: `data.source` real.

    Raises the dataset's errors in place of a batch. pin_memory: page-locked batches, for copies that don't block.
    """

    def __init__(self, dataset: AlignedDataset, share: Share, pin_memory: bool) -> None:
        super().__init__(dataset, share)
        workers = dataset.config.workers
        self._loader = DataLoader(
            _ErrorsAsValues(dataset),
            batch_sampler=self.batches,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=pin_memory,
            persistent_workers=workers > 0,
            # Else the loader draws from the global generator, a number of times that depends on its processes.
            generator=torch.Generator(),
            worker_init_fn=_start_process,
        )

    def __iter__(self) -> Iterator[Batch]:
        return self._checked(iter(self._loader))  # not a generator itself, as loading must begin now

    @staticmethod
    def _checked(batches: Iterator[Batch | GbenchError]) -> Iterator[Batch]:
        for batch in batches:
            if isinstance(batch, GbenchError):
                try:
                    raise batch
                finally:
                    del batch  # breaks a cycle of error and frame, which would keep the loader's processes
            yield batch
