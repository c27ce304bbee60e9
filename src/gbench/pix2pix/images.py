"""Sample images of a run, under upstream's names.

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `display_current_results` (web/images).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gbench.files import cant_write
from gbench.runfolder import VISUALS, RunFolder


def save_images(folder: RunFolder, epoch: int, real_A: Tensor, fake_B: Tensor, real_B: Tensor) -> None:
    """Write the first pair of a batch, and what G made of it, as `epoch003_fake_B.png` and so on.

    Args:
        real_A, fake_B, real_B: (N, 3, H, W) in [-1, 1], on any device.

    Raises:
        InfrastructureError: the disk refuses one.
    """
    for name, batch in zip(VISUALS, (real_A, fake_B, real_B), strict=True):
        path = folder.image(epoch, name)
        part = path.with_name(f".{path.name}")
        try:
            folder.images.mkdir(exist_ok=True)
            Image.fromarray(_pixels(batch[0])).save(part, format="PNG")
            part.replace(path)  # whoever looks on never sees half of one
        except OSError as error:
            part.unlink(missing_ok=True)
            raise cant_write(path, error) from error


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] as (H, W, 3) bytes; what is no number is black."""
    scaled = torch.nan_to_num(image.float(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5)
    pixels: NDArray[np.uint8] = scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels
