from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gbench.datasets import hash_cache
from gbench.datasets.hash_cache import cached_hashes
from gbench.datasets.manifest import hash_files
from gbench.errors import InfrastructureError

NAMES = ("train/1.png", "train/2.jpg", "test/1.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files that are never decoded."""
    folder = tmp_path / "set"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 10)
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have just been written count as old."""
    monkeypatch.setattr(hash_cache, "SETTLED_S", -60.0)


@pytest.fixture
def filled(root: Path, tmp_path: Path, settled: None) -> Path:
    """The cache folder, which has the hashes of all files."""
    assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "computed")
    return tmp_path / "cache"


def file_in(cache: Path) -> Path:
    [file] = (cache / "hashes").iterdir()
    return file


def test_an_unchanged_file_is_not_read_again(root: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, written = hash_files(root), file_in(filled).stat().st_ino
    monkeypatch.setattr(hash_cache, "hash_file", lambda path: pytest.fail(f"{path} is read"))
    assert cached_hashes(root, filled) == (expected, "cached")
    assert file_in(filled).stat().st_ino == written, "the cache was written again"


def test_rehash_reads_all(root: Path, filled: Path) -> None:
    file = file_in(filled)
    entries = json.loads(file.read_text())
    entries["files"]["test/1.png"]["sha256"] = "0" * 64
    file.write_text(json.dumps(entries))
    assert cached_hashes(root, filled)[0]["test/1.png"].sha256 == "0" * 64
    assert cached_hashes(root, filled, rehash=True) == (hash_files(root), "computed")
    assert cached_hashes(root, filled) == (hash_files(root), "cached")


def test_a_changed_a_new_and_a_missing_file(root: Path, filled: Path) -> None:
    (root / "train/1.png").write_bytes(b"another")
    (root / "train/3.png").write_bytes(b"new")
    (root / "test/1.png").unlink()
    assert cached_hashes(root, filled) == (hash_files(root), "partly cached")
    assert cached_hashes(root, filled) == (hash_files(root), "cached")
    assert list(json.loads(file_in(filled).read_text())["files"]) == ["train/1.png", "train/2.jpg", "train/3.png"]


@pytest.mark.parametrize("way", ["in place", "by a rename"])
def test_other_content_of_equal_size_and_mtime(root: Path, filled: Path, way: str) -> None:
    path = root / "train/1.png"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    other = path if way == "in place" else root / "other"
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=times)
    other.replace(path)
    assert path.stat().st_mtime_ns == times[1]
    assert cached_hashes(root, filled) == (hash_files(root), "partly cached")


def test_a_change_within_the_tick_of_the_last_one(root: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "computed")
        (root / "train/1.png").write_bytes((root / "train/1.png").read_bytes()[::-1])
    assert not (tmp_path / "cache").exists()


def test_a_file_of_the_future_is_not_kept(root: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "train/1.png"
    os.utime(path, (path.stat().st_mtime + 3600, path.stat().st_mtime + 3600))
    for _ in range(2):
        assert cached_hashes(root, filled) == (hash_files(root), "partly cached")


def test_a_change_while_the_file_is_hashed(
    root: Path, tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hash_cache.hash_file

    def hash_and_change(path: Path) -> object:
        found = real(path)
        if path.name == "2.jpg":
            path.write_bytes(b"later")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hash_cache, "hash_file", hash_and_change)
        cached_hashes(root, tmp_path / "cache")
    assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "partly cached")


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "\0\xff",
        '{"version": 2, "root": "", "files": {}}',
        '{"version": 1, "root": "/another", "files": {}}',
    ],
)
def test_a_damaged_cache_is_replaced(root: Path, filled: Path, damage: str) -> None:
    file_in(filled).write_text(damage, encoding="latin-1")
    assert cached_hashes(root, filled) == (hash_files(root), "computed")
    assert cached_hashes(root, filled) == (hash_files(root), "cached")


def test_a_hash_that_is_none_spoils_the_cache(root: Path, filled: Path) -> None:
    file = file_in(filled)
    file.write_text(file.read_text().replace(hash_files(root)["test/1.png"].sha256, "no hash"))
    assert cached_hashes(root, filled) == (hash_files(root), "computed")


def test_the_cache_of_another_user_is_ignored(root: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = file_in(filled).stat().st_uid
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: owner + 1)
        assert cached_hashes(root, filled) == (hash_files(root), "computed")


@pytest.mark.parametrize("folder", ["set/train/1.png/cache", "/proc/cache"])
def test_a_cache_that_cannot_be_written(root: Path, tmp_path: Path, settled: None, folder: str) -> None:
    for _ in range(2):
        assert cached_hashes(root, tmp_path / folder) == (hash_files(root), "computed")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_its_place(root: Path, filled: Path, make: object) -> None:
    file = file_in(filled)
    file.unlink()
    make(file)  # type: ignore[operator]
    assert cached_hashes(root, filled) == (hash_files(root), "computed")


def test_several_launches_at_once(root: Path, filled: Path) -> None:
    expected = hash_files(root)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: cached_hashes(root, filled, rehash=number % 2 == 0), range(40)))
    assert all(files == expected for files, _ in found)
    assert cached_hashes(root, filled) == (expected, "cached")
    assert [path.name for path in (filled / "hashes").iterdir()] == [file_in(filled).name]


def test_the_dataset_itself_is_not_written_to(root: Path, filled: Path) -> None:
    folders = [root, root / "train", root / "test"]
    before = [folder.stat().st_mtime_ns for folder in folders]
    for folder in folders:
        folder.chmod(0o555)
    assert cached_hashes(root, filled) == (hash_files(root), "cached")
    assert cached_hashes(root, filled, rehash=True) == (hash_files(root), "computed")
    assert [folder.stat().st_mtime_ns for folder in folders] == before


def test_a_link_to_the_dataset(root: Path, filled: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(root)
    assert cached_hashes(link, filled) == (hash_files(root), "cached")
    for name in NAMES:
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes(name.encode()[::-1] * 10)
    link.unlink()
    link.symlink_to(other)
    assert cached_hashes(link, filled) == (hash_files(other), "computed")


def test_a_linked_image(root: Path, tmp_path: Path, settled: None) -> None:
    path, one, two = root / "train/1.png", tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    path.unlink()
    path.symlink_to(one)
    cached_hashes(root, tmp_path / "cache")
    assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "cached")
    one.write_bytes(b"eno")
    assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "partly cached")
    path.unlink()
    path.symlink_to(two)
    assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "partly cached")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "vfat", None])
def test_a_file_system_of_another_machine(
    root: Path, tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    mounts = [] if kind is None else [("/", "ext4"), (str(root), kind)]
    partitions = [SimpleNamespace(mountpoint=point, fstype=kind) for point, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: partitions)
    for _ in range(2):
        assert cached_hashes(root, tmp_path / "cache") == (hash_files(root), "computed")


def test_a_file_that_cannot_be_read(root: Path, filled: Path) -> None:
    (root / "train/1.png").unlink()
    (root / "train/1.png").symlink_to(root / "nowhere")
    with pytest.raises(InfrastructureError, match=r"train/1\.png can't be read"):
        cached_hashes(root, filled)
