"""Draw a synthetic stand-in for facades: same layout, palette and direction, any size and count, no download."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gbench.base.files import is_there
from gbench.base.process_pool import in_processes
from gbench.datasets.draw_facade import draw_labels, draw_photo, draw_plan
from gbench.datasets.layout import PHASES
from gbench.datasets.manifest import MANIFEST_NAME, PreparedDataset, require_intact, write_manifest
from gbench.datasets.storage import holds_anything, require_room, staged_folder
from gbench.errors import InfrastructureError

# Part of the manifest's source. Raise it with every change to the drawing: equal sources mean equal pixels.
DRAWING_VERSION = 2
SOURCE = "gbench data synth: drawing"
PIXELS_OF_A_PROCESS = 1 << 21  # of a half: 32 images of 256 pixels, 0.4 s; for fewer it is not worth a process


def draw_pair(phase: str, number: int, size: int = 256, seed: int = 0) -> Image.Image:
    """One pair, photo left and label map right, RGB of 2 `size` x `size` pixels.

    Depends on the arguments alone. Another size gives the same house, drawn finer or coarser. size: at least 16.
    """
    rng = np.random.default_rng([seed, PHASES.index(phase), number])
    plan = draw_plan(rng)
    pair = Image.new("RGB", (2 * size, size))
    pair.paste(draw_photo(plan, size, rng), (0, 0))
    pair.paste(draw_labels(plan, size), (size, 0))
    return pair


def drawing_version(source: str) -> int | None:
    """The drawing version that a manifest's source names; None if gbench didn't draw that dataset."""
    match = re.match(rf"{SOURCE} ([0-9]{{1,9}})\b", source)
    return int(match[1]) if match else None


def synth(
    root: Path,
    counts: Mapping[str, int],
    size: int = 256,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda images: None,
    processes: int = 1,
) -> PreparedDataset:
    """Draw a dataset of `counts` images a phase into `root`, with its manifest; or verify the same one if it exists.

    size: side of each half in pixels. on_progress: receives the number of images drawn so far. processes: at most so
    many draw, fewer for a small dataset.

    Raises InfrastructureError: `root` holds something else, or can't be written.
    """
    source = f"{SOURCE} {DRAWING_VERSION}, size {size}, seed {seed}"
    wanted = {phase: counts.get(phase, 0) for phase in PHASES}
    if holds_anything(root):
        if not is_there(root / MANIFEST_NAME):
            raise InfrastructureError(f"{root} holds something else", "choose another --out")
        manifest = require_intact(root)
        if manifest.source != source or manifest.counts != wanted:
            raise InfrastructureError(f"{root} holds another dataset ({manifest.source})", "choose another --out")
        return PreparedDataset(manifest, fresh=False)
    # The least per pixel of a half, at 4096 pixels; more for fewer. A file takes a block.
    require_room(root, sum(wanted.values()) * max(int(1.1 * size**2), 4096))
    numbers = [(phase, number) for phase, count in wanted.items() for number in range(1, count + 1)]
    enough = max(1, len(numbers) * size**2 // PIXELS_OF_A_PROCESS)
    with staged_folder(root) as staging:
        for phase in {phase for phase, _ in numbers}:
            (staging / phase).mkdir()
        write = partial(_write_pair, staging, size, seed)
        for drawn, _ in enumerate(in_processes(write, numbers, min(processes, enough)), 1):
            on_progress(drawn)
        return PreparedDataset(write_manifest(staging, "synthetic", source), fresh=True)


def _write_pair(folder: Path, size: int, seed: int, image: tuple[str, int]) -> None:
    """Draw one image of a phase into its file."""
    phase, number = image
    # Level 1: the photo's noise doesn't compress, and the label map does at any level.
    draw_pair(phase, number, size, seed).save(folder / phase / f"{number}.png", compress_level=1)
