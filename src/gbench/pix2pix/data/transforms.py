"""Turn a decoded half of a pair into a tensor, as upstream does (data/base_dataset.py at 003efc4c), bit for bit.

Scale with Pillow's bicubic filter, crop, flip, normalise to [-1, 1]. Both halves get the same crop and flip.
"""

import random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from gbench.settings.model_config import DataConfig

Levels = npt.NDArray[np.uint8]  # 0 to 255, as in an image file


class Draw(NamedTuple):
    """Random crop and flip of one pair. left, top: corner of the crop in pixels of the scaled image."""

    left: int
    top: int
    flip: bool


def draw(rng: random.Random, size: tuple[int, int], crop_size: int) -> Draw:
    """Draw crop and flip with upstream's ranges and order. size: (width, height) of the scaled half."""
    width, height = size
    left = rng.randint(0, max(0, width - crop_size))
    top = rng.randint(0, max(0, height - crop_size))
    return Draw(left, top, flip=rng.random() > 0.5)


def scale(image: Image.Image, config: DataConfig) -> Image.Image:
    """Scale the image as `config.preprocess` says, before any crop."""
    width, height = image.size
    match config.preprocess:
        case "resize_and_crop":
            size = (config.load_size, config.load_size)
        case "scale_width" | "scale_width_and_crop":
            if width == config.load_size and height >= config.crop_size:
                return image
            size = (config.load_size, int(max(config.load_size * height / width, config.crop_size)))
        case "crop":
            return image
        case "none":  # generators halve the sides twice
            size = (round(width / 4) * 4, round(height / 4) * 4)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def crops(config: DataConfig) -> bool:
    """Whether pairs are cropped to crop_size x crop_size."""
    return "crop" in config.preprocess


def to_tensor(image: Image.Image, drawn: Draw, config: DataConfig) -> torch.Tensor:
    """Crop and flip a scaled half: float32 (3, height, width) in [-1, 1]."""
    if crops(config):
        image = image.crop((drawn.left, drawn.top, drawn.left + config.crop_size, drawn.top + config.crop_size))
    if config.flip and drawn.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return normalize(torch.from_numpy(channels_first(image)))


def channels_first(image: Image.Image) -> Levels:
    """The image as uint8 (3, height, width)."""
    return np.ascontiguousarray(np.array(image).transpose(2, 0, 1))


def normalize(levels: torch.Tensor) -> torch.Tensor:
    """Levels 0 to 255 as float32 in [-1, 1], with the operations of torchvision's ToTensor and Normalize."""
    return levels.to(torch.float32).div_(255).sub_(0.5).div_(0.5)


class Normalized:
    """`normalize` on a device, with the bits of a CPU.

    The values of the 256 levels are computed on the CPU and looked up: a GPU might multiply by 1 / 255 in place of the
    division, or fuse two operations.
    """

    def __init__(self, device: torch.device) -> None:
        self._table = normalize(torch.arange(256, dtype=torch.uint8)).to(device)

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """levels: uint8, of any shape, on the device. The result is contiguous."""
        entries = levels.to(torch.int32, memory_format=torch.contiguous_format)
        return self._table.index_select(0, entries.view(-1)).view(levels.shape)
