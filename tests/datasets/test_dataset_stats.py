from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gbench.datasets.draw_facade import PALETTE
from gbench.datasets.manifest import dataset_hash
from gbench.datasets.stats import stats
from gbench.datasets.synth import synth
from gbench.errors import InfrastructureError

FACADES50 = Path(__file__).resolve().parents[2] / ".." / "shared" / "facades50"


def test_figures_of_a_pair_drawn_by_hand(tmp_path: Path) -> None:
    pixels = np.zeros((2, 8, 3), np.uint8)
    pixels[:, :2] = (100, 50, 0)  # half of A, the other half black
    pixels[:, 4:7] = PALETTE["window"]
    pixels[:, 7:] = (90, 90, 90)  # no class
    (tmp_path / "test").mkdir()
    Image.fromarray(pixels).save(tmp_path / "test/1.png")
    phase = stats(tmp_path).phases["test"]
    assert (phase.images, phase.sizes) == (1, {"8x2": 1})
    assert phase.size_bytes == (tmp_path / "test/1.png").stat().st_size
    assert phase.a.mean == (50.0, 25.0, 0.0) and phase.a.std == (50.0, 25.0, 0.0)
    assert {name: share for name, share in phase.label_shares.items() if share} == {"window": 0.75, "other": 0.25}


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synth(tmp_path / "set", {"train": 5, "val": 1}, size=32)
    alone = stats(tmp_path / "set")
    monkeypatch.setattr("gbench.datasets.stats.IMAGES_OF_A_PROCESS", 1)
    seen: list[int] = []
    assert stats(tmp_path / "set", seen.append, processes=2) == alone
    assert seen == [1, 2, 3, 4, 5, 6]
    (tmp_path / "set/train/3.png").write_bytes(b"no picture")
    with pytest.raises(InfrastructureError, match=r"train/3\.png can't be decoded"):
        stats(tmp_path / "set", processes=2)


def test_against_numpy_on_a_drawn_set(tmp_path: Path) -> None:
    synth(tmp_path / "set", {"train": 3, "val": 2}, size=64)
    seen: list[int] = []
    result = stats(tmp_path / "set", seen.append)
    assert list(result.phases) == ["train", "val"] and seen == [1, 2, 3, 4, 5]
    assert result.dataset_sha256 == dataset_hash(tmp_path / "set")
    every = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "set/train").iterdir())])
    for half, figures in ((every[:, :, :64], result.phases["train"].a), (every[:, :, 64:], result.phases["train"].b)):
        np.testing.assert_allclose(figures.mean, half.reshape(-1, 3).mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(figures.std, half.reshape(-1, 3).std(axis=0), atol=1e-3)
    shares = result.phases["train"].label_shares
    assert shares["other"] == 0 and shares["wall"] > 0.1
    wall = (every[:, :, 64:] == PALETTE["wall"]).all(axis=-1).mean()
    assert shares["wall"] == pytest.approx(float(wall), abs=1e-6)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    synth(tmp_path / "set", {"train": 1}, size=32)
    path = tmp_path / "set/train/1.png"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InfrastructureError, match=r"1\.png can't be decoded"):
        stats(tmp_path / "set")


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="no dataset in"):
        stats(tmp_path)


@pytest.mark.skipif(not FACADES50.is_dir(), reason="the 50 real pairs are not beside this checkout")
def test_the_real_label_maps_are_in_the_palette() -> None:
    phase = stats(FACADES50).phases["test"]
    assert (phase.images, phase.sizes) == (50, {"512x256": 50})
    assert all(phase.label_shares[name] > 0.005 for name in PALETTE)
    assert phase.label_shares["other"] < 0.25  # JPEG noise and resampled edges
