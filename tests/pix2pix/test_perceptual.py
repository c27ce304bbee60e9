"""LPIPS, FID and KID from weights in a file. The weights are drawn: only what needs no trained ones can be told here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from gbench.errors import UsageError
from gbench.pix2pix.metrics import Levels
from gbench.pix2pix.perceptual import build_lpips, set_distances


def drawn(count: int, seed: int = 0) -> list[Levels]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an address has tried to download."""

    def refuse(url: str, *_: object) -> None:
        raise AssertionError(f"a download of {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def test_lpips_by_a_backbone_that_its_file_tells(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path, hub = tmp_path / "weights.pth", torch.hub.get_dir()
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    lpips = build_lpips(path, "weights.pth")
    assert torch.hub.get_dir() == hub
    one, other = drawn(2)
    near = one.copy()
    near[:8] = other[:8]
    assert lpips(one, one) == 0
    assert 0 < lpips(near, one) < lpips(other, one)
    with pytest.raises(UsageError, match="can't take images of 2x2"):
        lpips(one[:2, :2], one[:2, :2])


def test_what_is_no_backbone_says_so(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model.1.weight": torch.ones(3)}, path)
    with pytest.raises(
        UsageError, match="--lpips-weights weights.pth holds no weights of alexnet, vgg16 or squeezenet"
    ):
        build_lpips(path, "weights.pth")
    with pytest.raises(UsageError, match="--fid-weights weights.pth are not the weights of FID's Inception"):
        set_distances(path, "weights.pth", drawn(2), drawn(2))
