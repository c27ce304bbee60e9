from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gbench.datasets.draw_facade import PALETTE, draw_plan
from gbench.datasets.manifest import find_problems, read_manifest
from gbench.datasets.synth import DRAWING_VERSION, draw_pair, drawing_version, synth
from gbench.errors import InfrastructureError


@pytest.mark.parametrize(("count", "size"), [(99999999999999, 256), (10**9, 4096), (10**12, 16)])
def test_no_room_for_so_many_images(tmp_path: Path, count: int, size: int) -> None:
    with pytest.raises(
        InfrastructureError, match=rf"{tmp_path}/set needs [0-9,]+ GiB or more, and its disk has .* free"
    ):
        synth(tmp_path / "set", {"train": count}, size)
    assert list(tmp_path.iterdir()) == []


def halves(pair: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.asarray(pair)
    return pixels[:, : pixels.shape[1] // 2], pixels[:, pixels.shape[1] // 2 :]


def test_layout_sizes_and_manifest(tmp_path: Path) -> None:
    seen: list[int] = []
    manifest, fresh = synth(tmp_path / "set", {"train": 3, "test": 2}, size=64, seed=5, on_progress=seen.append)
    assert fresh and seen == [1, 2, 3, 4, 5]
    assert manifest.counts == {"train": 3, "val": 0, "test": 2}
    assert list(manifest.files) == ["train/1.png", "train/2.png", "train/3.png", "test/1.png", "test/2.png"]
    assert find_problems(tmp_path / "set", read_manifest(tmp_path / "set")) == []
    for name in manifest.files:
        with Image.open(tmp_path / "set" / name) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]  # nothing staged is left


def test_same_seed_same_bytes_whatever_the_count(tmp_path: Path) -> None:
    one, _ = synth(tmp_path / "one", {"train": 1, "val": 1}, size=32, seed=7)
    two, _ = synth(tmp_path / "two", {"train": 4}, size=32, seed=7)
    other, _ = synth(tmp_path / "other", {"train": 4}, size=32, seed=8)
    assert one.files["train/1.png"] == two.files["train/1.png"]
    assert one.files["val/1.png"].sha256 not in {entry.sha256 for entry in two.files.values()}
    assert not {entry.sha256 for entry in two.files.values()} & {entry.sha256 for entry in other.files.values()}


def test_several_processes_draw_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, seen = {"train": 5, "test": 2}, list[int]()
    alone, _ = synth(tmp_path / "alone", counts, size=32)
    monkeypatch.setattr("gbench.datasets.synth.PIXELS_OF_A_PROCESS", 1)
    together, _ = synth(tmp_path / "together", counts, size=32, on_progress=seen.append, processes=2)
    assert together == alone and seen == [1, 2, 3, 4, 5, 6, 7]


def test_the_drawing_is_the_one_its_version_names() -> None:
    """The label map of version 2. Other pixels need another DRAWING_VERSION."""
    labels = halves(draw_pair("train", 1, 64))[1]
    assert (DRAWING_VERSION, hashlib.sha256(labels.tobytes()).hexdigest()[:16]) == (2, "a6980ddb17fc9cb0")


def test_the_version_is_read_from_the_source(tmp_path: Path) -> None:
    manifest, _ = synth(tmp_path / "set", {"train": 1}, size=16)
    assert manifest.source == f"gbench data synth: drawing {DRAWING_VERSION}, size 16, seed 0"
    assert drawing_version(manifest.source) == DRAWING_VERSION
    assert drawing_version("gbench data synth: drawing 1, size 256, seed 0") == 1
    assert drawing_version("archive facades.tar.gz") is None


@pytest.mark.parametrize("size", [16, 64, 256])
def test_right_half_is_a_label_map_of_the_palette(size: int) -> None:
    colours = set(PALETTE.values())
    for number in range(5):
        found = {
            tuple(colour) for colour in np.unique(halves(draw_pair("train", number, size))[1].reshape(-1, 3), axis=0)
        }
        assert found <= {tuple(colour) for colour in colours}
        assert {PALETTE["background"], PALETTE["wall"], PALETTE["window"]} <= found


def test_every_class_occurs() -> None:
    kinds = {part.kind for number in range(60) for part in draw_plan(np.random.default_rng(number))}
    assert kinds | {"background"} == set(PALETTE)


def test_parts_stay_inside_the_picture() -> None:
    for number in range(60):
        for part in draw_plan(np.random.default_rng(number)):
            left, top, right, bottom = part.pixels(256)
            assert 0 <= left < right <= 256 and 0 <= top < bottom <= 256


def test_photo_follows_the_labels() -> None:
    """Windows are darker than the wall around them, and the photo has texture everywhere, unlike the label map."""
    darker = 0
    for number in range(10):
        photo, labels = halves(draw_pair("train", number))
        light = photo.mean(axis=2)
        wall = light[(labels == PALETTE["wall"]).all(axis=2)]
        darker += wall.mean() > light[(labels == PALETTE["window"]).all(axis=2)].mean() + 10
        assert wall.std() > 2
    assert darker >= 9


def test_the_same_set_is_checked_and_kept(tmp_path: Path) -> None:
    first, _ = synth(tmp_path / "set", {"train": 1}, size=16)
    stamp = (tmp_path / "set/train/1.png").stat().st_mtime_ns
    again, fresh = synth(tmp_path / "set", {"train": 1}, size=16)
    assert (again, fresh) == (first, False)
    assert (tmp_path / "set/train/1.png").stat().st_mtime_ns == stamp
    (tmp_path / "set/train/1.png").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="differs from its manifest"):
        synth(tmp_path / "set", {"train": 1}, size=16)


@pytest.mark.parametrize("changed", [{"counts": {"train": 2}}, {"size": 32}, {"seed": 1}])
def test_another_set_is_not_overwritten(tmp_path: Path, changed: dict[str, object]) -> None:
    synth(tmp_path / "set", {"train": 1}, size=16)
    with pytest.raises(InfrastructureError, match=r"holds another dataset .*--out"):
        synth(tmp_path / "set", **{"counts": {"train": 1}, "size": 16, **changed})  # type: ignore[arg-type]


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(InfrastructureError, match="holds something else"):
        synth(tmp_path, {"train": 1}, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="can't write"):
        synth(tmp_path / "file/set", {"train": 1}, size=16)
