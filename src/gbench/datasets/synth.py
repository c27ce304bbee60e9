"""A drawn stand-in for facades: same layout, palette and direction, any size and count, and no network needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gbench.datasets.facade_photo import draw_photo
from gbench.datasets.facade_plan import draw_plan
from gbench.datasets.layout import PHASES
from gbench.datasets.manifest import MANIFEST_NAME, Prepared, require_intact, write_manifest
from gbench.datasets.storage import holds_anything, staged_folder
from gbench.errors import InfrastructureError

# Part of a set's name: raise it with every change to the drawing, so that equal names mean equal pixels.
DRAWING_VERSION = 1


def draw_pair(phase: str, number: int, size: int = 256, seed: int = 0) -> Image.Image:
    """One pair, photo left and label map right, RGB of 2 `size` x `size` pixels.

    Depends on the arguments alone. At another size it is the same house, drawn finer or coarser. size: at least 16.
    """
    rng = np.random.default_rng([seed, PHASES.index(phase), number])
    plan = draw_plan(rng)
    pair = Image.new("RGB", (2 * size, size))
    pair.paste(draw_photo(plan, size, rng), (0, 0))
    pair.paste(plan.label_map(size), (size, 0))
    return pair


def synth(
    root: Path,
    counts: Mapping[str, int],
    size: int = 256,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Prepared:
    """Draw a dataset into `root`, with its manifest; or check the same one that is there.

    Args:
        counts: images a phase; files are numbered from 1.
        size: side of each half in pixels.
        on_progress: called with the number of images drawn so far.

    Raises:
        InfrastructureError: `root` holds something else, or can't be written.
    """
    source = f"gbench data synth: drawing {DRAWING_VERSION}, size {size}, seed {seed}"
    wanted = {phase: counts.get(phase, 0) for phase in PHASES}
    if holds_anything(root):
        if not (root / MANIFEST_NAME).exists():
            raise InfrastructureError(f"{root} holds something else already", "choose another --out")
        manifest = require_intact(root)
        if manifest.source != source or manifest.counts != wanted:
            raise InfrastructureError(f"{root} holds another dataset ({manifest.source})", "choose another --out")
        return Prepared(manifest, fresh=False)
    with staged_folder(root) as staging:
        drawn = 0
        for phase in (phase for phase in PHASES if wanted[phase]):
            (staging / phase).mkdir()
            for number in range(1, wanted[phase] + 1):
                # Level 1: the photo's noise doesn't compress, and the label map does at any level.
                draw_pair(phase, number, size, seed).save(staging / phase / f"{number}.png", compress_level=1)
                drawn += 1
                on_progress(drawn)
        return Prepared(write_manifest(staging, "synthetic", source), fresh=True)
