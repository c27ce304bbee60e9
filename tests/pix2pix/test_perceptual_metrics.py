"""LPIPS, FID and KID with random weights from a file, as far as testable without trained ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity.feature_extractor_inceptionv3 as inception
import torchvision
from torchmetrics.image.fid import NoTrainInceptionV3

from gbench.errors import UsageError
from gbench.pix2pix.image_metrics import Levels, as_batch
from gbench.pix2pix.perceptual_metrics import build_lpips, set_distances


def drawn(count: int, seed: int = 0) -> list[Levels]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail on any attempt to download."""

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
        UsageError, match=r"--lpips-weights weights\.pth holds no weights of alexnet, vgg16 or squeezenet"
    ):
        build_lpips(path, "weights.pth")
    with pytest.raises(UsageError, match=r"--fid-weights weights\.pth are not the weights of FID's Inception"):
        set_distances(path, "weights.pth", drawn(2), drawn(2))


@pytest.mark.slow
def test_fid_and_kid_are_their_formulas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inception.pth"
    torch.manual_seed(2)
    with monkeypatch.context() as drawing:
        drawing.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        drawing.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = inception.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    fakes, reals = drawn(4), [levels // 2 for levels in drawn(4, seed=1)]
    found = set_distances(path, "inception.pth", fakes, reals)

    extract = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
    with torch.no_grad():
        x, y = (torch.cat([extract(as_batch(one)) for one in images]).double().numpy() for images in (fakes, reals))
    a, b = (features - features.mean(0) for features in (x, y))
    # the trace of the root of a product of covariances is a sum of singular values
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum() / 3
    fid = ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() / 3 + (b**2).sum() / 3 - 2 * root
    assert found["FID"] == pytest.approx(fid, rel=1e-3)

    def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one @ other.T / 2048 + 1) ** 3

    within = sum((kernel(z, z).sum() - np.trace(kernel(z, z))) / 12 for z in (x, y))
    assert found["KID"] == pytest.approx(within - 2 * kernel(x, y).mean(), rel=1e-3)
