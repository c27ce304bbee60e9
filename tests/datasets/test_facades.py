"""Preparing facades from an archive with the real one's size and content counts, of flat pictures."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gbench.datasets.facades import ARCHIVE_BYTES, COUNTS, prepare
from gbench.datasets.manifest import find_problems, read_manifest
from gbench.errors import InfrastructureError


def build_archive(path: Path, counts: dict[str, int], size: tuple[int, int] = (512, 256)) -> Path:
    """A tar.gz of exactly ARCHIVE_BYTES: stored, not compressed, and filled up by its header's file name."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(buffer, "JPEG")
    picture = buffer.getvalue()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:") as tar:
        for name in [f"facades/{phase}/{n}.jpg" for phase, count in counts.items() for n in range(1, count + 1)]:
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            tar.addfile(info, io.BytesIO(picture))
        filler = tarfile.TarInfo("facades/filler.bin")
        filler.size = ARCHIVE_BYTES - content.tell() - 30_000
        tar.addfile(filler, io.BytesIO(bytes(filler.size)))
    for _ in range(2):
        short = ARCHIVE_BYTES - path.stat().st_size if path.exists() else 0
        with path.open("wb") as file, gzip.GzipFile("x" * (short + 1), "wb", 0, file, mtime=0) as stream:
            stream.write(content.getvalue())
    assert path.stat().st_size == ARCHIVE_BYTES
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_archive(tmp_path_factory.mktemp("archive") / "facades.tar.gz", COUNTS)


@pytest.fixture(scope="module")
def prepared(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "facades"
    prepare(out, archive=archive)
    return out


def test_from_a_local_archive(archive: Path, prepared: Path) -> None:
    assert {phase: len(list((prepared / phase).iterdir())) for phase in COUNTS} == COUNTS
    assert find_problems(prepared, read_manifest(prepared)) == []
    assert [path.name for path in prepared.parent.iterdir()] == ["facades"]  # nothing staged is left
    assert archive.exists()
    umask = os.umask(0)
    os.umask(umask)
    assert prepared.stat().st_mode & 0o777 == 0o777 & ~umask


def test_what_is_there_is_checked_and_kept(archive: Path, prepared: Path) -> None:
    before = (prepared / "manifest.json").stat().st_mtime_ns
    manifest, fresh = prepare(prepared, archive=archive)
    assert not fresh and manifest.counts == COUNTS
    assert (prepared / "manifest.json").stat().st_mtime_ns == before


def test_a_set_put_there_by_hand_gets_a_manifest(prepared: Path) -> None:
    text = (prepared / "manifest.json").read_text()
    (prepared / "manifest.json").unlink()
    try:
        manifest, fresh = prepare(prepared)
        assert not fresh and manifest.source == "found in place"
        assert find_problems(prepared, read_manifest(prepared)) == []
    finally:
        (prepared / "manifest.json").write_text(text)


def test_a_changed_set_is_refused(prepared: Path) -> None:
    path = prepared / "val/7.jpg"
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    try:
        with pytest.raises(InfrastructureError, match=r"first changed: val/7\.jpg"):
            prepare(prepared)
    finally:
        path.write_bytes(content)


def test_a_drawn_set_does_not_pass_for_the_real_one(prepared: Path) -> None:
    text = (prepared / "manifest.json").read_text()
    (prepared / "manifest.json").write_text(text.replace('"name": "facades"', '"name": "synthetic"'))
    try:
        with pytest.raises(InfrastructureError, match="holds another dataset"):
            prepare(prepared)
    finally:
        (prepared / "manifest.json").write_text(text)


def test_fetched_with_a_broken_connection(host: Any, archive: Path, tmp_path: Path) -> None:
    host.payload, host.drop_after = archive.read_bytes(), 20_000_000
    seen: list[int] = []
    manifest, fresh = prepare(tmp_path / "data/facades", url=host.url, on_progress=seen.append)
    assert fresh and manifest.source == host.url
    assert host.requests == [None, "bytes=20000000-"] and seen[-1] == ARCHIVE_BYTES
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["facades"]


def test_archive_of_another_size(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"short")
    with pytest.raises(InfrastructureError, match=r"a\.tar\.gz has 5 bytes, the facades archive has 30,168,306"):
        prepare(tmp_path / "out", archive=tmp_path / "a.tar.gz")
    assert not (tmp_path / "out").exists()


def test_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="No such file"):
        prepare(tmp_path / "out", archive=tmp_path / "a.tar.gz")


def test_damaged_archive_of_the_right_size(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[15_000_000] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(InfrastructureError, match=r"not a whole tar\.gz"):
        prepare(tmp_path / "out", archive=tmp_path / "a.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize(
    ("counts", "size", "words"),
    [
        ({"train": 400, "val": 100, "test": 105}, (512, 256), r"400 train, 100 val, 105 test images"),
        (COUNTS, (256, 256), r"train/1\.jpg .* 256x256 pixels"),
    ],
)
def test_other_content(tmp_path: Path, counts: dict[str, int], size: tuple[int, int], words: str) -> None:
    archive = build_archive(tmp_path / "a.tar.gz", counts, size)
    with pytest.raises(InfrastructureError, match=words) as caught:
        prepare(tmp_path / "out", archive=archive)
    assert str(archive) in caught.value.what
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_folder_of_something_else_is_not_touched(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(InfrastructureError, match="is not the facades set"):
        prepare(tmp_path, archive=archive)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_read_only_place(archive: Path) -> None:
    """Nobody can create a folder in /proc, not even root."""
    with pytest.raises(InfrastructureError, match="can't write /proc/facades"):
        prepare(Path("/proc/facades"), archive=archive)
