"""Images in upstream's 8-bit form, and metrics of generated images against the real ones, in memory or in a folder."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gbench.datasets.decode import decode_rgb
from gbench.errors import UsageError
from gbench.pix2pix.data.transforms import Levels
from gbench.runfolder.evaluation_result import Image

# SSIM's constants: Wang et al. 2004
SSIM_WINDOW = 11  # pixels
SSIM_SIGMA = 1.5  # pixels, of the Gaussian window
SSIM_K = (0.01, 0.03)  # per level
FAKE, REAL = "_fake_B.png", "_real_B.png"  # ends of upstream's file names


def to_levels(image: Tensor) -> Levels:
    """(3, height, width) in [-1, 1] -> (height, width, 3) uint8, (x + 1) / 2 * 255 in float32, truncated.

    Upstream's util/util.py, tensor2im, at 003efc4c.
    """
    values = image.detach().cpu().float().numpy().transpose(1, 2, 0)
    levels: Levels = ((values + 1) / 2.0 * 255.0).astype(np.uint8)
    return levels


def require_size(height: int, width: int) -> None:
    """Raises UsageError: the images are smaller than SSIM's window. height, width: in pixels."""
    if min(height, width) < SSIM_WINDOW:
        raise UsageError(
            f"images of {width}x{height} pixels are smaller than the {SSIM_WINDOW} pixels of SSIM's window",
            "evaluate larger images",
        )


def image_metrics(fake_B: Tensor, real_B: Tensor) -> dict[str, float | None]:
    """MAE, PSNR and SSIM of one image, (3, height, width) in [-1, 1] on the CPU; see `evaluation_result.METRICS`.

    PSNR of equal images is infinite: None.
    """
    of_levels = level_metrics(to_levels(fake_B), to_levels(real_B))
    return {**of_levels, "MAE": float((fake_B.double() - real_B.double()).abs().mean())}


def level_metrics(fake: Levels, real: Levels) -> dict[str, float | None]:
    """The same from 8-bit images, (height, width, 3)."""
    apart = fake.astype(np.float64) - real.astype(np.float64)
    squared = np.mean(apart**2)
    return {
        "MAE": float(np.abs(apart).mean() / 127.5),
        "PSNR": 10 * math.log10(255**2 / squared) if squared else None,
        "SSIM": _ssim(fake, real),
    }


def _ssim(fake: Levels, real: Levels) -> float:
    """Mean over all windows within the image (Wang et al. 2004)."""
    x, y = (levels.astype(np.float64) for levels in (fake, real))
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = map(_window_means, (x, y, x * x, y * y, x * y))
    c1, c2 = ((k * 255) ** 2 for k in SSIM_K)
    likeness = (2 * mean_x * mean_y + c1) * (2 * (mean_xy - mean_x * mean_y) + c2)
    spread = (mean_x**2 + mean_y**2 + c1) * (mean_xx - mean_x**2 + mean_yy - mean_y**2 + c2)
    return float((likeness / spread).mean())


def _window_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean of every window within the image: (height, width, 3) -> (height - 10, width - 10, 3)."""
    places = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-((places / SSIM_SIGMA) ** 2) / 2)
    weights /= weights.sum()
    height, width = (side - SSIM_WINDOW + 1 for side in values.shape[:2])
    rows = _weighted_sum(weights, [values[k : k + height] for k in range(SSIM_WINDOW)])
    return _weighted_sum(weights, [rows[:, k : k + width] for k in range(SSIM_WINDOW)])


def _weighted_sum(weights: NDArray[np.float64], parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The sum of equally large parts, added up in their order and in place: new memory for each would take longer."""
    total: NDArray[np.float64] = weights[0] * parts[0]
    term = np.empty_like(total)
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        np.multiply(part, weight, out=term)
        total += term
    return total


def as_batch(levels: Levels) -> Tensor:
    """(height, width, 3) uint8 -> (1, 3, height, width) uint8."""
    return torch.from_numpy(levels.transpose(2, 0, 1).copy())[None]


def holds_images(folder: Path) -> bool:
    """Whether a folder, or `images` in it, has generated images."""
    return any(_within(folder).glob(f"*{FAKE}"))


def folder_metrics(folder: Path) -> list[Image]:
    """MAE, PSNR and SSIM of each pair in a folder, or in `images` in it, in the order of names.

    From 8-bit levels, so that MAE lacks what rounding cut off: 1/255 at most.

    Raises UsageError: no pair, half a pair, or images of two sizes or too small. InfrastructureError: can't be read.
    """
    inside = _within(folder)
    names = sorted(path.name.removesuffix(FAKE) for path in inside.glob(f"*{FAKE}"))
    if not names:
        raise UsageError(f"{folder} holds no N{FAKE}", "give the images folder of upstream's test.py or gbench eval")
    images = []
    for name in names:
        fake, real = (_levels(inside / f"{name}{end}") for end in (FAKE, REAL))
        if fake.shape != real.shape:
            raise UsageError(f"{inside / name}{FAKE} and {name}{REAL} differ in size", "give images of one test")
        require_size(*fake.shape[:2])
        images.append(Image(name=name, source=str(inside / f"{name}{FAKE}"), metrics=level_metrics(fake, real)))
    return images


def _within(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def _levels(path: Path) -> Levels:
    if not path.exists():
        raise UsageError(f"{path} is not there", "each N_fake_B.png needs its N_real_B.png")
    return np.asarray(decode_rgb(path))
