"""Sample images of a run, under upstream's names.

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `display_current_results` (web/images).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gbench.base.files import cant_write
from gbench.runfolder.folder import VISUALS, RunFolder


class ImageWriter:
    """Writes sample images in a thread, those of one epoch at a time, during the training."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._thread = folder, ThreadPoolExecutor(1, "images")
        self._writing: Future[None] | None = None

    def save(self, epoch: int, real_A: Tensor, fake_B: Tensor, real_B: Tensor) -> None:
        """Write the first pair of a batch and the output of G, as `epoch003_fake_B.png` and so on, in the background.

        Args:
            real_A, fake_B, real_B: (N, 3, H, W) in [-1, 1], on any device; copied before this returns.

        Raises:
            InfrastructureError: as `wait`, for the previous epoch.
        """
        self.wait()
        images = {name: _pixels(batch[0]) for name, batch in zip(VISUALS, (real_A, fake_B, real_B), strict=True)}
        self._writing = self._thread.submit(_write, self._folder, epoch, images)

    def wait(self) -> None:
        """Wait until all images are written. Raises InfrastructureError: an image can't be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _write(folder: RunFolder, epoch: int, images: dict[str, NDArray[np.uint8]]) -> None:
    for name, pixels in images.items():
        path = folder.image(epoch, name)
        part = path.with_name(f".{path.name}")
        try:
            folder.images.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(part, format="PNG")
            part.replace(path)  # so that readers never see an incomplete file
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise cant_write(path, error) from error


def _pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] as uint8 (H, W, 3); NaN becomes black."""
    scaled = torch.nan_to_num(image.float(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5)
    pixels: NDArray[np.uint8] = scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels
