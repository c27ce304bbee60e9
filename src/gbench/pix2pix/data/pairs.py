"""Pairs of the `aligned` layout as batches of a rank (upstream data/aligned_dataset.py at 003efc4c).

>>> loader = build_loader(Path("data/facades"), DataConfig(), batch_size=4, rank=0, world_size=1, seed=0,
...                       drop_last=True, pin_memory=False)
>>> for epoch in range(2):
...     loader.set_epoch(epoch)
...     for real_A, real_B, paths in loader: ...
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, Dataset

from gbench.datasets.decode import decode_rgb
from gbench.datasets.layout import phase_images
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.pix2pix.data.sampler import EpochSampler, Key
from gbench.pix2pix.data.transforms import Draw, channels_first, crops, draw, scale, to_tensor
from gbench.settings.spec import DataConfig


class Sample(NamedTuple):
    """One pair, already in the direction of training: real_A is the generator's input, real_B its target.

    Both (3, height, width), float32 in [-1, 1].
    """

    real_A: torch.Tensor
    real_B: torch.Tensor
    path: str


class Batch(NamedTuple):
    """Samples stacked: two tensors (N, 3, height, width), and N paths."""

    real_A: torch.Tensor
    real_B: torch.Tensor
    paths: list[str]


class AlignedDataset(Dataset[Sample]):
    """The pairs of one phase in sorted order. `dataset[epoch, index]` is a pure function of seed, epoch and index.

    Phase `test` has no rules of its own here: upstream's test options (load_size equal to crop_size, no flip, no
    shuffle) are the configuration's to give.

    Raises:
        UsageError: load_size is below crop_size where the one is cropped from the other.
        InfrastructureError: the phase is missing or empty; on access, a file is no usable pair (it is named).
    """

    def __init__(self, root: Path, config: DataConfig, seed: int) -> None:
        if config.preprocess in ("resize_and_crop", "scale_width_and_crop") and config.load_size < config.crop_size:
            raise UsageError(
                f"data.load_size {config.load_size} is below data.crop_size {config.crop_size}",
                "make it at least as large, or set data.preprocess to crop",
            )
        self.folder = root / config.phase
        self.paths = phase_images(root, config.phase)[: config.max_dataset_size]
        self.config = config
        self.seed = seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Key) -> Sample:
        halves = self._scaled(key[1])
        drawn = self.draw(key, halves[0].size)
        a, b = (to_tensor(half, drawn, self.config) for half in halves)
        path = str(self.paths[key[1]])
        return Sample(a, b, path) if self.config.direction == "AtoB" else Sample(b, a, path)

    def draw(self, key: Key, size: tuple[int, int]) -> Draw:
        """Crop and flip of one sample. size: (width, height) of the scaled half."""
        epoch, index = key
        return draw(random.Random(f"{self.seed}/{epoch}/{index}"), size, self.config.crop_size)

    def levels(self, index: int) -> npt.NDArray[np.uint8]:
        """A pair as it is before crop and flip: (2, 3, height, width), A and B, levels 0 to 255.

        Raises:
            InfrastructureError: as access does.
        """
        return np.stack([channels_first(half) for half in self._scaled(index)])

    def _scaled(self, index: int) -> list[Image.Image]:
        """A and B at the size that they are cropped from."""
        path = self.paths[index]
        halves = [scale(half, self.config) for half in self._halves(path)]
        size = halves[0].size
        if crops(self.config) and min(size) < self.config.crop_size:
            raise InfrastructureError(
                f"the halves of {path} have {size[0]}x{size[1]} pixels, below data.crop_size {self.config.crop_size}",
                "lower data.crop_size, or set data.preprocess to one that resizes",
            )
        return halves

    def _halves(self, path: Path) -> tuple[Image.Image, Image.Image]:
        """A and B."""
        pair = decode_rgb(path)
        middle, odd = divmod(pair.width, 2)
        if odd:
            raise InfrastructureError(
                f"{path} is {pair.width} pixels wide, which makes no two halves", "remove it, or mend the pair"
            )
        return pair.crop((0, 0, middle, pair.height)), pair.crop((middle, 0, pair.width, pair.height))


class _ErrorsAsValues(Dataset["Sample | GbenchError"]):
    """Expected errors as values.

    A DataLoader rebuilds an exception of its processes from one long string, which loses the sentence and the class.
    """

    def __init__(self, dataset: AlignedDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Sample | GbenchError:
        try:
            return self.dataset[key]
        except GbenchError as error:
            return error


def collate(items: list[Sample | GbenchError]) -> Batch | GbenchError:
    """Samples as one batch; an error among them, or sizes that differ, as a value."""
    samples: list[Sample] = []
    for item in items:
        if isinstance(item, GbenchError):
            return item
        samples.append(item)
    first = samples[0]
    for sample in samples:
        if sample.real_A.shape != first.real_A.shape:
            return UsageError(
                f"{first.path} and {sample.path} differ in size and can't share a batch under this data.preprocess",
                "set data.preprocess to one that crops, or take one sample a device",
            )
    return Batch(
        torch.stack([sample.real_A for sample in samples]),
        torch.stack([sample.real_B for sample in samples]),
        [sample.path for sample in samples],
    )


def _outlive_sigterm(_: int) -> None:
    """A rank that is asked to stop still needs its loader's processes: they end with it, not before."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Loader(Protocol):
    """The batches of one rank, an epoch at a time."""

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Choose the epoch (from 0) whose order, crops and flips the next iterator draws.

        Args:
            skip: batches at its beginning to leave out, without loading them.
        """

    def __len__(self) -> int:
        """Batches an epoch, for this rank as for any other."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the epoch, or of what is left of it."""


class Share(NamedTuple):
    """What of each global batch is a rank's.

    Global batch i of an epoch holds the same samples however many ranks share it. An epoch that does not divide by the
    ranks is filled up from its beginning, as DistributedSampler does; drop_last ends it at the last whole global batch.
    """

    batch_size: int  # samples of this rank a step
    rank: int
    world_size: int
    drop_last: bool


class BatchKeys:
    """Which samples each batch of a rank holds, an epoch at a time: what all loaders have in common.

    Raises:
        UsageError: with drop_last, the dataset doesn't fill one global batch.
    """

    def __init__(self, dataset: AlignedDataset, share: Share) -> None:
        self.dataset, self._batch_size = dataset, share.batch_size
        whole = share.batch_size * share.world_size
        if share.drop_last and len(dataset) < whole:
            raise UsageError(
                f"{dataset.folder} gives {len(dataset)} images, fewer than one batch of {whole}",
                "take a smaller BATCH_SIZE, a larger dataset, or set schedule.drop_last to false",
            )
        shuffle, seed = dataset.config.shuffle, dataset.seed
        self._sampler = EpochSampler(
            dataset, share.world_size, share.rank, shuffle=shuffle, seed=seed, drop_last=share.drop_last
        )
        indices = cast(Iterable[int], self._sampler)  # keys, in truth: it doesn't mind
        self.batches = BatchSampler(indices, share.batch_size, share.drop_last)

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """See Loader."""
        self._sampler.set_epoch(epoch)
        self._sampler.skip = skip * self._batch_size

    def __len__(self) -> int:
        """See Loader."""
        return len(self.batches)

    def keys(self) -> Iterator[list[Key]]:
        """What each batch of the epoch holds."""
        return cast(Iterator[list[Key]], iter(self.batches))


class PairLoader(BatchKeys):
    """Decodes, scales, crops and flips every sample anew, as upstream does: what `data.source` calls real.

    Loading begins when an iterator is made. Raises the dataset's errors where the batch would have come.

    Args:
        pin_memory: page-locked batches, for copies to a GPU that don't block.
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
            # Without its own, the loader would draw from the global generator, more often with fewer processes.
            generator=torch.Generator(),
            worker_init_fn=_outlive_sigterm,
        )

    def __iter__(self) -> Iterator[Batch]:
        return self._checked(iter(self._loader))

    @staticmethod
    def _checked(batches: Iterator[Batch | GbenchError]) -> Iterator[Batch]:
        for batch in batches:
            if isinstance(batch, GbenchError):
                try:
                    raise batch
                finally:
                    del batch  # else error and frame hold each other, and the frame the loader's processes
            yield batch


def build_loader(
    root: Path,
    config: DataConfig,
    *,
    batch_size: int,
    rank: int,
    world_size: int,
    seed: int,
    drop_last: bool,
    pin_memory: bool,
) -> PairLoader:
    """The loader of one rank that reads the files themselves, whatever `config.source` says.

    Raises:
        UsageError, InfrastructureError: as AlignedDataset and PairLoader.
    """
    return PairLoader(
        AlignedDataset(root, config, seed), Share(batch_size, rank, world_size, drop_last), pin_memory=pin_memory
    )
