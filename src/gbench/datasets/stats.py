"""Describe a dataset: counts, sizes, and the colours of both halves."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from gbench.base.process_pool import in_processes
from gbench.datasets.decode import decode_rgb
from gbench.datasets.draw_facade import PALETTE
from gbench.datasets.layout import phase_images, phases_in
from gbench.datasets.manifest import dataset_hash

# A pixel belongs to the nearest class within this distance (sum over channels, in levels), else to "other". It allows
# for the JPEG noise of the distributed label maps, and is less than half the distance between two classes.
LABEL_TOLERANCE = 39
IMAGES_OF_A_PROCESS = 32  # for fewer it is not worth a process


class HalfStats(BaseModel):
    """Red, green, blue over all pixels of one half, in levels 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class PhaseStats(BaseModel):
    images: int
    size_bytes: int
    sizes: dict[str, int]
    """Images by "WIDTHxHEIGHT" of the whole pair."""
    a: HalfStats
    b: HalfStats
    label_shares: dict[str, float]
    """Share of half B's pixels by class."""


class DatasetStats(BaseModel):
    root: str
    dataset_sha256: str
    phases: dict[str, PhaseStats]


class ImageStats(NamedTuple):
    """Counts of one image."""

    size: str
    histograms: NDArray[np.int64]
    """Pixels by half, channel and level."""
    labels: NDArray[np.int64]
    """Pixels of half B by class."""


def stats(root: Path, on_progress: Callable[[int], None] = lambda images: None, processes: int = 1) -> DatasetStats:
    """Read every image of the dataset. on_progress: receives the number of images read so far.

    processes: at most so many decode, fewer for a small phase.

    Raises InfrastructureError: no dataset in `root`, a phase without images, or an image that can't be decoded.
    """
    phases = phases_in(root) or ["train"]  # without any phase, phase_images raises
    read = count(1)
    _class_table()  # here, so that the processes find it
    paths = {phase: phase_images(root, phase) for phase in phases}
    found = {phase: _phase_stats(paths[phase], processes, lambda: on_progress(next(read))) for phase in phases}
    return DatasetStats(root=str(root), dataset_sha256=dataset_hash(root), phases=found)


def _phase_stats(paths: list[Path], processes: int, on_image: Callable[[], None]) -> PhaseStats:
    sizes: Counter[str] = Counter()
    histograms = np.zeros((2, 3, 256), np.int64)
    labels = np.zeros(len(PALETTE) + 1, np.int64)
    enough = max(1, len(paths) // IMAGES_OF_A_PROCESS)
    for image in in_processes(_image_stats, paths, min(processes, enough)):
        sizes[image.size] += 1
        histograms += image.histograms
        labels += image.labels
        on_image()
    shares = {name: round(float(n / labels.sum()), 6) for name, n in zip([*PALETTE, "other"], labels, strict=True)}
    return PhaseStats(
        images=len(paths),
        size_bytes=sum(path.stat().st_size for path in paths),
        sizes=dict(sizes.most_common()),
        a=_half_stats(histograms[0]),
        b=_half_stats(histograms[1]),
        label_shares=shares,
    )


def _image_stats(path: Path) -> ImageStats:
    pixels = np.asarray(decode_rgb(path))
    height, width, _ = pixels.shape
    halves = pixels[:, : width // 2], pixels[:, width // 2 :]
    counts = [[np.bincount(part[:, :, channel].ravel(), minlength=256) for channel in range(3)] for part in halves]
    coarse = halves[1].reshape(-1, 3) >> 2
    labels = np.bincount(_class_table()[tuple(coarse.T)], minlength=len(PALETTE) + 1)
    return ImageStats(f"{width}x{height}", np.array(counts), labels)


def _half_stats(histogram: NDArray[np.int64]) -> HalfStats:
    """Mean and standard deviation from the counts of each level, (3, 256)."""
    levels = np.arange(256)
    total = histogram.sum(axis=1)
    mean = (histogram * levels).sum(axis=1) / total
    variance = (histogram * levels**2).sum(axis=1) / total - mean**2
    return HalfStats.model_validate(
        {"mean": mean.round(3).tolist(), "std": np.sqrt(variance.clip(0)).round(3).tolist()}
    )


@cache
def _class_table() -> NDArray[np.intp]:
    """The class of every colour, by its channels' upper six bits: (64, 64, 64), indices into PALETTE or its length."""
    levels = np.arange(64) * 4 + 2
    colours = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    distances = np.stack([np.abs(colours - np.array(colour)).sum(axis=-1) for colour in PALETTE.values()])
    return np.where(distances.min(axis=0) <= LABEL_TOLERANCE, distances.argmin(axis=0), len(PALETTE))
