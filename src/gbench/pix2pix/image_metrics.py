"""Images in upstream's 8-bit form, and metrics of a generated image against the real one."""

import math

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from gbench.errors import UsageError
from gbench.pix2pix.data.transforms import Levels

SSIM_WINDOW = 11  # pixels, Gaussian with sigma 1.5: Wang et al. 2004, torchmetrics' default


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
    """Mean over the windows within the image; torchmetrics' own mean includes padding in some versions."""
    pair = [as_batch(levels).double() for levels in (fake, real)]
    whole = structural_similarity_index_measure(pair[0], pair[1], data_range=255.0, return_full_image=True)
    edge = SSIM_WINDOW // 2
    return float(whole[1][..., edge:-edge, edge:-edge].mean())


def as_batch(levels: Levels) -> Tensor:
    """(height, width, 3) uint8 -> (1, 3, height, width) uint8."""
    return torch.from_numpy(levels.transpose(2, 0, 1).copy())[None]
