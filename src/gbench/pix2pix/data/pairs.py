"""The pairs of the `aligned` layout, decoded and stacked (upstream data/aligned_dataset.py at 003efc4c)."""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from gbench.datasets.decode import decode_rgb
from gbench.datasets.layout import phase_images
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.pix2pix.data.transforms import Draw, Levels, channels_first, crops, draw, scale, to_tensor
from gbench.settings.model_config import DataConfig

Key = tuple[int, int]  # epoch, index into the dataset


class AlignedPair(NamedTuple):
    """One pair, (3, height, width), float32 in [-1, 1]: real_A is the generator's input, real_B its target."""

    real_A: torch.Tensor
    real_B: torch.Tensor
    path: str


class Batch(NamedTuple):
    """N pairs: two tensors (N, 3, height, width), float32 in [-1, 1], and N paths."""

    real_A: torch.Tensor
    real_B: torch.Tensor
    paths: list[str]


class AlignedDataset(Dataset[AlignedPair]):
    """The pairs of one phase in sorted order. `dataset[epoch, index]` is a pure function of seed, epoch and index.

    Raises InfrastructureError: the phase is missing or empty; on access, a file is not a usable pair.
    """

    def __init__(self, root: Path, config: DataConfig, seed: int) -> None:
        self.folder = root / config.phase
        self.paths = phase_images(root, config.phase)[: config.max_dataset_size]
        self.config, self.seed = config, seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Key) -> AlignedPair:
        halves = self._scaled(key[1])
        drawn = self.draw(key, halves[0].size)
        a, b = (to_tensor(half, drawn, self.config) for half in halves)
        path = str(self.paths[key[1]])
        return AlignedPair(a, b, path) if self.config.direction == "AtoB" else AlignedPair(b, a, path)

    def draw(self, key: Key, size: tuple[int, int]) -> Draw:
        """Crop and flip to apply to one pair. size: (width, height) of a scaled half."""
        epoch, index = key
        left, top, flip = draw(random.Random(f"{self.seed}/{epoch}/{index}"), size, self.config.crop_size)
        flip = flip and self.config.flip
        return Draw(left, top, flip) if crops(self.config) else Draw(0, 0, flip)

    def levels(self, index: int) -> Levels:
        """A and B before crop and flip: uint8 (2, 3, height, width). Raises InfrastructureError: as access."""
        return np.stack([channels_first(half) for half in self._scaled(index)])

    def _scaled(self, index: int) -> list[Image.Image]:
        """A and B, scaled, before the crop."""
        path = self.paths[index]
        pair = decode_rgb(path)
        middle, odd = divmod(pair.width, 2)
        if odd:
            raise InfrastructureError(
                f"{path} is {pair.width} pixels wide, which gives no two equal halves", "fix or remove it"
            )
        boxes = (0, 0, middle, pair.height), (middle, 0, pair.width, pair.height)
        halves = [scale(pair.crop(box), self.config) for box in boxes]
        size = halves[0].size
        if crops(self.config) and min(size) < self.config.crop_size:
            raise InfrastructureError(
                f"the halves of {path} have {size[0]}x{size[1]} pixels, below data.crop_size {self.config.crop_size}",
                "lower data.crop_size, or set data.preprocess to one that resizes",
            )
        return halves


def collate(items: list[AlignedPair | GbenchError]) -> Batch | GbenchError:
    """Stack pairs into a batch; return an error if one is among them, or if sizes differ."""
    pairs: list[AlignedPair] = []
    for item in items:
        if isinstance(item, GbenchError):
            return item
        pairs.append(item)
    first = pairs[0]
    for pair in pairs:
        if pair.real_A.shape != first.real_A.shape:
            return UsageError(
                f"{first.path} and {pair.path} differ in size and can't share a batch under this data.preprocess",
                "set data.preprocess to one that crops, or use one image per device",
            )
    return Batch(
        torch.stack([pair.real_A for pair in pairs]),
        torch.stack([pair.real_B for pair in pairs]),
        [pair.path for pair in pairs],
    )
