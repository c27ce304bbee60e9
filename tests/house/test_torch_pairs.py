"""The tested pairs of PyTorch and torchvision: one file names them, all others agree with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAIRS = dict(re.findall(r"^(\w+)=(\S+)$", (ROOT / ".ci/torch-pairs").read_text(), re.M))


def test_the_image_has_the_oldest_pair_supported() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert dict(re.findall(r'"(torch|torchvision)>=([^"]+)"', project)) == {
        "torch": PAIRS["IMAGE_TORCH"],
        "torchvision": PAIRS["IMAGE_TORCHVISION"],
    }


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("Dockerfile", "FROM_IMAGE_NAME=pytorch/pytorch:{IMAGE_TORCH}-cuda"),
        ("scripts/make-base-image.sh", "(default: {IMAGE_TORCH}, as in the Dockerfile's base)"),
        ("docs/air-gapped.md", "docker pull pytorch/pytorch:{IMAGE_TORCH}-cuda"),
        ("docs/air-gapped.md", "PyTorch is {IMAGE_TORCH}, as in the Dockerfile's base"),
        ("docs/testing.md", "PyTorch {IMAGE_TORCH} with torchvision {IMAGE_TORCHVISION}"),
        ("docs/testing.md", "PyTorch {NEWEST_TORCH} with torchvision {NEWEST_TORCHVISION}"),
    ],
)
def test_files_name_the_pairs(file: str, sentence: str) -> None:
    assert sentence.format(**PAIRS) in (ROOT / file).read_text()
