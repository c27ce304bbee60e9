"""Images in upstream's 8-bit form, and metrics of a generated image against the real one."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gbench.errors import UsageError
from gbench.pix2pix.data.transforms import Levels

# SSIM's constants: Wang et al. 2004
SSIM_WINDOW = 11  # pixels
SSIM_SIGMA = 1.5  # pixels, of the Gaussian window
SSIM_K = (0.01, 0.03)  # per level


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
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _window_means(np.stack([x, y, x * x, y * y, x * y]))
    c1, c2 = ((k * 255) ** 2 for k in SSIM_K)
    likeness = (2 * mean_x * mean_y + c1) * (2 * (mean_xy - mean_x * mean_y) + c2)
    spread = (mean_x**2 + mean_y**2 + c1) * (mean_xx - mean_x**2 + mean_yy - mean_y**2 + c2)
    return float((likeness / spread).mean())


def _window_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean of every window within the image.

    Shapes: (..., height, width, 3) -> (..., height - 10, width - 10, 3).
    """
    places = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-((places / SSIM_SIGMA) ** 2) / 2)
    weights /= weights.sum()
    height, width = (side - SSIM_WINDOW + 1 for side in values.shape[-3:-1])
    rows = sum(weight * values[..., k : k + height, :, :] for k, weight in enumerate(weights))
    means: NDArray[np.float64] = sum(weight * rows[..., k : k + width, :] for k, weight in enumerate(weights))
    return means


def as_batch(levels: Levels) -> Tensor:
    """(height, width, 3) uint8 -> (1, 3, height, width) uint8."""
    return torch.from_numpy(levels.transpose(2, 0, 1).copy())[None]
