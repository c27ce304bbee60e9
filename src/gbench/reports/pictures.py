"""Pictures of a run as thumbnails inside the page: of the evaluation that it ended with, else those that it left as it
trained."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from gbench.runfolder.evaluation_result import FINAL, NAME

SHOWN = 8  # of what may be hundreds; the gallery has all
SIDE = 192  # pixels of a thumbnail
# upstream's names, `12_fake_B.png`, in the order in which they are compared -> what they are
KINDS = {"real_A": "input", "fake_B": "generated", "real_B": "real"}


@dataclass(frozen=True)
class Pictures:
    """shown: name of a sample -> kind -> data URI. total: how many samples there are. gallery: link to all of them."""

    shown: dict[str, dict[str, str]]
    total: int
    gallery: str | None


def pictures(run_dir: Path, page_dir: Path) -> Pictures | None:
    """The pictures of a run, evenly chosen; None where there are none. page_dir: where the page will be."""
    evaluated = (run_dir / FINAL / NAME).is_file()  # to its end
    places = [run_dir / FINAL, run_dir] if evaluated else [run_dir]
    place = next((place for place in places if any((place / "images").glob("*_fake_B.png"))), None)
    if place is None:
        return None
    folder, gallery = place / "images", place / "gallery.html"
    names = sorted((path.name.removesuffix("_fake_B.png") for path in folder.glob("*_fake_B.png")), key=_natural)
    chosen = [names[len(names) * place // min(SHOWN, len(names))] for place in range(min(SHOWN, len(names)))]
    shown = {name: _thumbnails(folder, name) for name in chosen}
    link = quote(Path(os.path.relpath(gallery, page_dir)).as_posix()) if gallery.is_file() else None
    return Pictures({name: found for name, found in shown.items() if found}, len(names), link)


def _thumbnails(folder: Path, name: str) -> dict[str, str]:
    """Those of a sample that can be read."""
    found = {}
    for kind in KINDS:
        try:
            with Image.open(folder / f"{name}_{kind}.png") as image:
                small = image.convert("RGB")
        except (OSError, ValueError):  # missing, cut off, no picture
            continue
        small.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=85)
        found[kind] = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return found


def _natural(name: str) -> tuple[bool, int, str]:
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
