"""Metrics of generated images on disk, under upstream's names: N_fake_B.png and N_real_B.png."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from gbench.base.files import open_file
from gbench.errors import InfrastructureError, UsageError
from gbench.pix2pix.data.transforms import Levels
from gbench.pix2pix.image_metrics import level_metrics, require_size
from gbench.runfolder.evaluation_result import Image

FAKE, REAL = "_fake_B.png", "_real_B.png"


def holds_images(folder: Path) -> bool:
    """Whether a folder, or `images` in it, has generated images."""
    return any(_within(folder).glob(f"*{FAKE}"))


def folder_metrics(folder: Path) -> list[Image]:
    """MAE, PSNR and SSIM of each pair in a folder, or in `images` in it, in the order of names.

    From 8-bit levels, so that MAE lacks what rounding cut off: 1/255 at most.

    Raises:
        UsageError: no pair, half a pair, or images of two sizes or too small. InfrastructureError: can't be read.
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
    try:
        with open_file(path) as file, Picture.open(file) as picture:
            levels: Levels = np.asarray(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not there", "each N_fake_B.png needs its N_real_B.png") from error
    except (OSError, Picture.DecompressionBombError) as error:
        raise InfrastructureError(f"{path} can't be read ({error})", "write the images again") from error
    return levels
