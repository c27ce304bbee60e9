from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gbench.datasets.layout import doubts, find_dataset, list_images, phase_images
from gbench.datasets.manifest import hash_file
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


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png")
    (tmp_path / "train" / os.fsdecode(b"caf\xe9.png")).touch()
    with pytest.raises(InfrastructureError, match=r"train/caf\\xe9\.png is not UTF-8; rename it"):
        list_images(tmp_path / "train")


def test_what_is_left_out_or_hidden_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "train/sub/2.png")
    assert doubts(tmp_path, "train") == []
    touch(tmp_path, "train/3.webp", "train/4.Png", "train/5.webp", "train/README")
    touch(tmp_path, "train/.ipynb_checkpoints/1-checkpoint.png")
    left_out, hidden = doubts(tmp_path, "train")
    assert left_out.endswith("left out, as they are no images by their names: 2 .webp, 1 .Png, 1 without an extension")
    assert hidden.startswith("1 of the images in ") and hidden.endswith("train/.ipynb_checkpoints/1-checkpoint.png")


def test_a_phase_of_other_files_only(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.webp", "train/2.webp")
    with pytest.raises(InfrastructureError, match=r"its files are none by their names \(2 \.webp\); convert them to"):
        phase_images(tmp_path, "train")


def test_a_dangling_link(tmp_path: Path) -> None:
    link = tmp_path / "train/1.png"
    touch(tmp_path, "train/2.png")
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InfrastructureError, match=r"1\.png can't be read \(a link to .*nowhere, which is not there\)"):
        hash_file(link)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs a folder of another user")
@pytest.mark.parametrize(
    "command",
    [
        "data stats {root}/set",
        "check --device cpu --runner local --datasets-dir {root} --dataset set",
        "launch pix2pix_unet_256 1 1 FP32 --device cpu --runner local --datasets-dir {root} --dataset set",
    ],
)
@pytest.mark.parametrize("closed", ["", "set", "set/train"])
def test_a_closed_folder(tmp_path: Path, closed: str, command: str) -> None:
    root = tmp_path / "data"
    touch(root, "set/train/1.png")
    os.chown(root / closed, 12345, 12345)
    (root / closed).chmod(0o700)
    rights = "-dac_override,-dac_read_search"
    arguments = command.format(root=root).split()
    done = subprocess.run(
        ["setpriv", f"--bounding-set={rights}", sys.executable, "-m", "gbench", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Permission denied" in done.stdout + done.stderr) == (4, True), done.stderr
    assert "Traceback" not in done.stderr
