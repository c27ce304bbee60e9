"""Metrics compared with an independent numpy implementation; upstream's rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix.image_metrics import image_metrics, require_size, to_levels


def pair(seed: int = 0, side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Two similar images, (3, side, side) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    real = np.kron(rng.uniform(-1, 1, (3, side // 4, side // 4)), np.ones((4, 4)))
    fake = np.clip(real + rng.normal(0, 0.2, real.shape), -1, 1)
    return torch.from_numpy(fake).float(), torch.from_numpy(real).float()


def ssim(fake: np.ndarray, real: np.ndarray) -> float:
    """Wang et al. 2004 with its constants: 11x11 Gaussian window, sigma 1.5, K1 0.01, K2 0.03; mean over all windows
    that lie within the image."""
    place = np.arange(11) - 5
    one = np.exp(-(place**2) / (2 * 1.5**2))
    window = np.outer(one, one) / one.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for top in range(fake.shape[0] - 10):
            for left in range(fake.shape[1] - 10):
                x, y = (image[top : top + 11, left : left + 11, channel].astype(float) for image in (fake, real))
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * x * x).sum() - mx**2, (window * y * y).sum() - my**2
                cov = (window * x * y).sum() - mx * my
                values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


def test_metrics_are_their_formulas() -> None:
    for seed in range(3):
        fake, real = pair(seed)
        found = image_metrics(fake, real)
        assert found["MAE"] == pytest.approx(np.abs(fake.double().numpy() - real.double().numpy()).mean(), rel=1e-12)
        levels = [to_levels(image) for image in (fake, real)]
        error = np.mean((levels[0].astype(float) - levels[1]) ** 2)
        assert found["PSNR"] == pytest.approx(20 * math.log10(255 / math.sqrt(error)), rel=1e-12)
        assert found["SSIM"] == pytest.approx(ssim(*levels), abs=1e-9)


def test_an_equal_image_has_no_finite_psnr() -> None:
    _, real = pair()
    assert image_metrics(real, real) == {"MAE": 0.0, "PSNR": None, "SSIM": pytest.approx(1.0)}


def test_levels_are_cut_off_as_upstream_does_it() -> None:
    """(x + 1) / 2 * 255 in float32, then truncated: 0.999 of a level is the level below."""
    values = torch.tensor([-1.0, -0.5, 0.0, 0.5, 0.99999, 1.0]).expand(3, 1, 6)
    assert to_levels(values)[0, :, 0].tolist() == [0, 63, 127, 191, 254, 255]
    assert to_levels(values).dtype == np.uint8 and to_levels(values).shape == (1, 6, 3)


def test_ssim_needs_its_window() -> None:
    require_size(11, 11)
    with pytest.raises(UsageError, match="40x10 pixels are smaller than the 11"):
        require_size(10, 40)
