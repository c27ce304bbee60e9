"""Prepare the real facades set: download the archive, unpack and check it, write the manifest.

CMP Facade Database (R. Tylecek, R. Sara, GCPR 2013) in the form distributed with pix2pix (Isola et al., 2017).
"""

import os
from collections.abc import Callable
from pathlib import Path

from gbench.base.files import is_there, open_file
from gbench.datasets.archive import extract
from gbench.datasets.decode import image_size
from gbench.datasets.download import download
from gbench.datasets.layout import PHASES, list_images
from gbench.datasets.manifest import MANIFEST_NAME, Manifest, PreparedDataset, require_intact, write_manifest
from gbench.datasets.storage import holds_anything, require_room, staged_folder
from gbench.errors import InfrastructureError

NAME = "facades"
URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz"
ARCHIVE_BYTES = 30_168_306
COUNTS = {"train": 400, "val": 100, "test": 106}
PAIR_SIZE = (512, 256)  # width, height in pixels
NOT_FACADES = "choose another --out, or another archive"


def prepare(
    out: Path,
    url: str = URL,
    archive: Path | None = None,
    on_progress: Callable[[int], None] = lambda have_bytes: None,
) -> PreparedDataset:
    """Put the facades set into the folder `out`, or verify an existing one.

    A partial download stays next to `out` until it is complete and unpacked. archive: a local copy to use instead.

    Raises:
        UsageError: the address is not http or https.
        InfrastructureError: the archive is unavailable or not the facades set, or `out` holds something else or
            can't be written.
    """
    if holds_anything(out):
        return PreparedDataset(_check_existing(out), fresh=False)
    require_room(out, ARCHIVE_BYTES)
    if archive is not None:
        _check_size(archive)
        return PreparedDataset(_unpack(archive, out, source=f"archive {archive.name}"), fresh=True)
    fetched = out.parent / "facades.tar.gz.part"
    download(url, fetched, ARCHIVE_BYTES, on_progress)
    prepared = PreparedDataset(_unpack(fetched, out, source=url), fresh=True)
    fetched.unlink()
    return prepared


def _check_existing(out: Path) -> Manifest:
    """The manifest of the set in `out`; written now if it was unpacked there by hand."""
    check_content(out, what=out)
    if is_there(out / MANIFEST_NAME):
        manifest = require_intact(out)
        if manifest.name != NAME:  # a synthetic set may have the real one's counts and sizes
            raise InfrastructureError(f"{out} holds another dataset ({manifest.source})", "choose another --out")
        return manifest
    return write_manifest(out, NAME, source="found in place")


def _check_size(archive: Path) -> None:
    try:
        with open_file(archive) as file:
            size_bytes = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InfrastructureError(
            f"--archive {archive} can't be read ({error.strerror})", "give the path of facades.tar.gz"
        ) from error
    if size_bytes != ARCHIVE_BYTES:
        raise InfrastructureError(
            f"--archive {archive} has {size_bytes:,} bytes, the facades archive has {ARCHIVE_BYTES:,}",
            f"download it again from {URL}",
        )


def _unpack(archive: Path, out: Path, source: str) -> Manifest:
    with staged_folder(out) as staging:
        extract(archive, staging)
        top = staging / NAME
        if top.is_dir():
            for entry in list(top.iterdir()):
                entry.rename(staging / entry.name)
            top.rmdir()
        check_content(staging, what=archive)
        return write_manifest(staging, NAME, source)


def check_content(root: Path, what: Path) -> None:
    """Check that the folder has COUNTS pairs of PAIR_SIZE. what: the path to name in the error.

    Raises InfrastructureError: the counts differ, or an image can't be read or has another size.
    """
    images = {phase: list_images(root / phase) for phase in PHASES}
    counts = {phase: len(images[phase]) for phase in PHASES}
    if counts != COUNTS:
        have, want = (", ".join(f"{count} {phase}" for phase, count in one.items()) for one in (counts, COUNTS))
        raise InfrastructureError(f"{what} is not the facades set: it has {have} images, not {want}", NOT_FACADES)
    for path in (path for phase in PHASES for path in images[phase]):
        relative = path.relative_to(root)
        try:
            size = image_size(path)
        except InfrastructureError as error:
            raise InfrastructureError(f"{relative} of {what} is not an image ({error.what})", NOT_FACADES) from error
        if size != PAIR_SIZE:
            raise InfrastructureError(
                f"{relative} of {what} is {size[0]}x{size[1]} pixels, facades pairs are 512x256", NOT_FACADES
            )
