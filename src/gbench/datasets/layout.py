"""The `aligned` layout: ROOT/{train,val,test}/*, each image a pair side by side, A the left half and B the right.

In facades A is the photo and B the label map. Imports only the standard library: both the command line and the worker
import this at start.
"""

import difflib
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from gbench.base.faults import shown_name
from gbench.base.paths import DEFAULT_DATASETS_DIR
from gbench.errors import InfrastructureError, UsageError

PHASES = ("train", "val", "test")

# Upstream data/image_folder.py at 003efc4c: in lower or upper case, never mixed.
_LOWER = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff")
IMAGE_EXTENSIONS = frozenset({*_LOWER, *map(str.upper, _LOWER)})

SHOWN = 5  # extensions of a folder's other files


def get_a_dataset(datasets_dir: str | Path | None = None) -> str:
    """What to do without a dataset. datasets_dir: where it is looked for, if that is known."""
    named = datasets_dir is not None and Path(datasets_dir).absolute() != Path(DEFAULT_DATASETS_DIR).absolute()
    out, other = (
        f" --out {shlex.quote(f'{datasets_dir}/{name}')}" if named else "" for name in ("facades", "synthetic")
    )
    commands = f"`gbench data prepare facades{out}` or `gbench data synth{other}`"
    return f"make one with {commands}, or set DATASETS_DIR to its folder"


def list_images(folder: Path) -> list[Path]:
    """Every image below `folder`, subfolders included, sorted by path as upstream sorts them ("10.png" before "2.png").

    Upstream applies max_dataset_size in file system order; callers here apply it to this sorted list, so every machine
    keeps the same images.

    Raises InfrastructureError: a name is not UTF-8. OSError: a subfolder can't be read.
    """
    return [Path(path) for path in sorted(_files(folder)) if _extension(path) in IMAGE_EXTENSIONS]


def doubts(root: Path, phase: str) -> list[str]:
    """What a user may not expect of a phase's images: files left out by their names, and images in hidden folders."""
    folder = root / phase
    paths = sorted(_files(folder))
    others = Counter(kind for path in paths if (kind := _extension(path)) not in IMAGE_EXTENSIONS)
    images = [Path(path) for path in paths if _extension(path) in IMAGE_EXTENSIONS]
    hidden = [path for path in images if any(part.startswith(".") for part in path.relative_to(root).parts)]
    texts = []
    if others:
        texts.append(f"files of {folder} are left out, as they are no images by their names: {_counted(others)}")
    if hidden:
        texts.append(f"{len(hidden)} of the images in {folder} are hidden files, taken as upstream does: {hidden[0]}")
    return texts


def _files(folder: Path) -> Iterator[str]:
    """Every file below a folder, as text: sorted so, as upstream does. Raises as `list_images`."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    for parent, _, names in os.walk(folder, onerror=refuse if folder.is_dir() else None):
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            if not path.isascii() and (shown := shown_name(path)) != path:
                raise InfrastructureError(f"the name of {shown} is not UTF-8", "rename it")
            yield path


def _extension(path: str) -> str:
    return os.path.splitext(path)[1]  # noqa: PTH122


def _counted(extensions: Counter[str]) -> str:
    return ", ".join(
        f"{count} {extension or 'without an extension'}" for extension, count in extensions.most_common(SHOWN)
    )


def phases_in(root: Path) -> list[str]:
    return [phase for phase in PHASES if (root / phase).is_dir()]


def phase_images(root: Path, phase: str) -> list[Path]:
    """The images of one phase, sorted. Raises InfrastructureError: the dataset has no such phase, or no image in it."""
    phases = phases_in(root)
    if not phases:
        raise InfrastructureError(f"no dataset in {root} (it has none of {', '.join(PHASES)})", get_a_dataset())
    if phase not in phases:
        raise InfrastructureError(
            f"the dataset in {root} has no phase '{phase}', only {', '.join(phases)}",
            f"choose an existing one: --set data.phase={phases[0]}",
        )
    images = list_images(root / phase)
    if not images:
        others = Counter(map(_extension, _files(root / phase)))
        if others:
            kinds = f"convert them to {', '.join(sorted(one[1:] for one in _LOWER))} in lower or upper case"
            files = f"no image in {root / phase}: its files are none by their names ({_counted(others)})"
            raise InfrastructureError(files, f"{kinds}, or {get_a_dataset()}")
        raise InfrastructureError(f"no image in {root / phase}", get_a_dataset())
    return images


def find_dataset(datasets_dir: Path, name: str, phase: str) -> str:
    """The dataset's place below DATASETS_DIR: the subfolder of its name if that holds one, else "".

    Raises:
        UsageError: the name is a path.
        InfrastructureError: the folder is missing or holds no dataset, no such phase, or no image of that phase.
    """
    if Path(name).name != name or name == "..":
        raise UsageError(f"DATASETS is '{name}', which is a path", "give the folder as DATASETS_DIR")
    if not datasets_dir.is_dir():
        raise InfrastructureError(f"DATASETS_DIR is {datasets_dir}, which is not a folder", get_a_dataset(datasets_dir))
    for subdir in (name, ""):
        if phases_in(datasets_dir / subdir):
            phase_images(datasets_dir / subdir, phase)
            return subdir
    raise InfrastructureError(
        f"no dataset in {datasets_dir} or {datasets_dir / name} (neither has any of {', '.join(PHASES)})",
        _other_datasets(datasets_dir, name) + get_a_dataset(datasets_dir),
    )


def _other_datasets(datasets_dir: Path, name: str) -> str:
    """The start of a hint: the datasets that are there in place of `name`; empty if there is none."""
    others: list[str] = []
    with suppress(PermissionError):
        others = sorted(entry.name for entry in datasets_dir.iterdir() if phases_in(entry))
    if near := difflib.get_close_matches(name, others, n=1):
        return f"did you mean --dataset {near[0]}? Or "
    return f"{others[0]} is there: give --dataset {others[0]}, or " if others else ""
