from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from gbench.datasets import manifest
from gbench.errors import InfrastructureError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three files that are never decoded, and one that is not an image."""
    folder = tmp_path / "set"
    for name in ("train/1.png", "train/2.jpg", "test/1.png", "train/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 10)
    manifest.write_manifest(folder, "mine", "drawn by hand")
    return folder


def test_what_is_written(root: Path) -> None:
    written = json.loads((root / "manifest.json").read_text())
    content = b"train/2.jpg" * 10
    assert written["manifest_version"] == 1
    assert (written["name"], written["source"]) == ("mine", "drawn by hand")
    assert written["counts"] == {"train": 2, "val": 0, "test": 1}
    assert list(written["files"]) == ["train/1.png", "train/2.jpg", "test/1.png"]
    assert written["files"]["train/2.jpg"] == {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": 110}
    lines = "".join(f"{path} {written['files'][path]['sha256']}\n" for path in sorted(written["files"]))
    assert written["dataset_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert sorted(path.name for path in root.iterdir()) == ["manifest.json", "test", "train"]


def test_intact(root: Path) -> None:
    assert manifest.find_problems(root, manifest.read_manifest(root)) == []
    assert manifest.require_intact(root).dataset_sha256 == manifest.dataset_hash(root)


def test_hash_needs_no_manifest_and_ignores_other_files(root: Path) -> None:
    before = manifest.dataset_hash(root)
    (root / "manifest.json").unlink()
    (root / "train/notes.txt").unlink()
    assert manifest.dataset_hash(root) == before


def test_one_changed_byte(root: Path) -> None:
    content = bytearray((root / "train/2.jpg").read_bytes())
    content[7] ^= 1
    (root / "train/2.jpg").write_bytes(content)
    assert manifest.find_problems(root, manifest.read_manifest(root)) == [("changed", "train/2.jpg")]
    assert manifest.dataset_hash(root) != manifest.read_manifest(root).dataset_sha256
    with pytest.raises(InfrastructureError, match=r"1 place\(s\), first changed: train/2.jpg"):
        manifest.require_intact(root)


def test_missing_and_extra(root: Path) -> None:
    (root / "train/1.png").rename(root / "train/3.png")
    assert manifest.find_problems(root, manifest.read_manifest(root)) == [
        ("missing", "train/1.png"),
        ("extra", "train/3.png"),
    ]


def test_manifest_that_contradicts_itself(root: Path) -> None:
    path = root / "manifest.json"
    path.write_text(path.read_text().replace(manifest.dataset_hash(root), "0" * 64))
    assert manifest.find_problems(root, manifest.read_manifest(root)) == [("inconsistent", "manifest.json")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no manifest.json"),
        ("{", "a manifest that this gbench reads"),
        ('{"manifest_version": 2}', "manifest_version"),
    ],
)
def test_no_manifest_or_another(root: Path, text: str | None, words: str) -> None:
    (root / "manifest.json").unlink()
    if text is not None:
        (root / "manifest.json").write_text(text)
    with pytest.raises(InfrastructureError, match=words):
        manifest.find_problems(root, manifest.read_manifest(root))


def test_a_key_twice_in_a_manifest(root: Path) -> None:
    path = root / "manifest.json"
    path.write_text(path.read_text().replace('"name":', '"name": "other", "name":'))
    with pytest.raises(InfrastructureError, match=r"manifest\.json: name is there twice; leave one of the two out"):
        manifest.read_manifest(root)
