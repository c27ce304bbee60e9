"""Thumbnails of a run's images, embedded in the page: of its final evaluation, or else of the training."""

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gbench.base.whole import whole_number
from gbench.datasets.decode import decode_rgb
from gbench.errors import InfrastructureError
from gbench.runfolder.evaluation_result import FINAL, NAME

SHOWN = 8  # of possibly hundreds; the gallery has all
SIDE = 192  # pixels of a thumbnail
# kind in upstream's file names, such as `12_fake_B.png`, in display order -> its caption
KINDS = {"real_A": "input", "fake_B": "generated", "real_B": "real"}


@dataclass(frozen=True)
class Pictures:
    shown: dict[str, dict[str, str]]
    """Name of a sample -> kind -> data URI."""
    total: int
    """Number of samples of the run."""
    gallery: str | None
    """Link to the page with all of them; None if there is none."""


def pictures(run_dir: Path, page_dir: Path) -> Pictures | None:
    """Evenly chosen images of a run; None if it has none. page_dir: the folder of the page."""
    evaluated = (run_dir / FINAL / NAME).is_file()  # the evaluation finished
    places = [run_dir / FINAL, run_dir] if evaluated else [run_dir]
    place = next((place for place in places if any((place / "images").glob("*_fake_B.png"))), None)
    if place is None:
        return None
    folder, gallery = place / "images", place / "gallery.html"
    names = [path.name.removesuffix("_fake_B.png") for path in folder.glob("*_fake_B.png")]
    names.sort(key=lambda name: ((number := whole_number(name)) is None, number or 0, name))
    chosen = [names[len(names) * place // min(SHOWN, len(names))] for place in range(min(SHOWN, len(names)))]
    shown = {name: _thumbnails(folder, name) for name in chosen}
    link = quote(Path(os.path.relpath(gallery, page_dir)).as_posix()) if gallery.is_file() else None
    return Pictures({name: thumbnails for name, thumbnails in shown.items() if thumbnails}, len(names), link)


def _thumbnails(folder: Path, name: str) -> dict[str, str]:
    """The readable images of a sample, by kind."""
    thumbnails = {}
    for kind in KINDS:
        try:
            small = decode_rgb(folder / f"{name}_{kind}.png")
        except InfrastructureError:  # missing, truncated, or not an image
            continue
        small.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
        thumbnails[kind] = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return thumbnails
