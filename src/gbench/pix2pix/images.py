"""Sample images of a run, under upstream's names.

Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py, `display_current_results` (web/images).
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gbench.base.files import cant_write, new_file
from gbench.pix2pix.data.transforms import Levels
from gbench.runfolder.folder import VISUALS, RunFolder


class ImageWriter:
    """Writes sample images in a thread, those of one epoch at a time, during the training."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._thread = folder, ThreadPoolExecutor(1, "images")
        self._writing: Future[None] | None = None

    def save(self, epoch: int, real_A: Tensor, fake_B: Tensor, real_B: Tensor) -> None:
        """Write the first pair of a batch and the output of G, as `epoch003_fake_B.png` and so on, in the background.

        All are (N, 3, H, W) in [-1, 1] on any device, copied before this returns. Raises as `wait`, for earlier images.
        """
        self.wait()
        images = {name: _pixels(batch[0]) for name, batch in zip(VISUALS, (real_A, fake_B, real_B), strict=True)}

        def write() -> None:
            for name, pixels in images.items():
                write_png(pixels, self._folder.image(epoch, name))

        self._writing = self._thread.submit(write)

    def wait(self) -> None:
        """Wait until all images are written. Raises InfrastructureError: an image can't be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def write_png(levels: Levels, path: Path) -> None:
    """Write (H, W, 3) uint8 as PNG; readers never see an incomplete file. Raises InfrastructureError."""
    part = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(exist_ok=True)
        with new_file(part) as file:
            Image.fromarray(levels).save(file, format="PNG")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise cant_write(path, error) from error


def _pixels(image: Tensor) -> Levels:
    """(3, H, W) in [-1, 1] as uint8 (H, W, 3); NaN becomes black."""
    scaled = torch.nan_to_num(image.float(), nan=-1.0).clamp(-1, 1).add(1).mul(127.5)
    pixels: Levels = scaled.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels
