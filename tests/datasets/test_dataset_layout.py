from __future__ import annotations

from pathlib import Path

import pytest

from gbench.datasets.layout import find_dataset, list_images, phase_images
from gbench.errors import InfrastructureError, UsageError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_images_sorted_as_strings_by_upstreams_extensions(tmp_path: Path) -> None:
    touch(tmp_path, "2.png", "10.JPG", "11.Jpg", "4.Png", "sub/1.jpeg", "notes.txt", "3.gif", "a.tiff", "manifest.json")
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == [
        "10.JPG",
        "2.png",
        "a.tiff",
        "sub/1.jpeg",
    ]


def test_found_in_the_folder_itself(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png")
    assert find_dataset(tmp_path, "facades", "train") == ""


def test_found_in_the_subfolder_of_its_name_first(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "facades/train/1.png")
    assert find_dataset(tmp_path, "facades", "train") == "facades"


def test_phase_images(tmp_path: Path) -> None:
    touch(tmp_path, "val/2.png", "val/1.png")
    assert phase_images(tmp_path, "val") == [tmp_path / "val/1.png", tmp_path / "val/2.png"]


@pytest.mark.parametrize(
    ("files", "name", "phase", "words"),
    [
        ([], "facades", "train", ["{root}", "{root}/facades", "gbench data prepare", "gbench data synth"]),
        (["facades/test/1.png"], "facades", "train", ["'train'", "only test", "data.phase"]),
        (["facades/train/notes.txt"], "facades", "train", ["no image in {root}/facades/train", "gbench data"]),
        (["other/train/1.png"], "facades", "train", ["no dataset in {root}", "other is there: give --dataset other"]),
        (["a/train/1.png", "facades/train/1.png"], "facade", "train", ["did you mean --dataset facades?"]),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, files: list[str], name: str, phase: str, words: list[str]) -> None:
    touch(tmp_path, *files)
    with pytest.raises(InfrastructureError) as caught:
        find_dataset(tmp_path, name, phase)
    for word in words:
        assert word.format(root=tmp_path) in str(caught.value)


def test_datasets_dir_missing(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"DATASETS_DIR is .*nowhere, which is not a folder"):
        find_dataset(tmp_path / "nowhere", "facades", "train")


@pytest.mark.parametrize("name", ["../facades", "a/b", "/data", ".."])
def test_a_path_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="DATASETS is"):
        find_dataset(tmp_path, name, "train")
