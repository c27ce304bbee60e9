"""The job at full size on the CPU: nine blocks, 64 filters, 256 pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.datasets.synth import synth

pytestmark = pytest.mark.system


def test_two_steps_of_batch_one_at_256_pixels(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    synth(tmp_path / "facades", {"train": 4}, size=256)
    arguments = ["--device", "cpu", "--runner", "local", "--datasets-dir", tmp_path / "facades"]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 1, 1, "FP32", *arguments, "--steps", 2, "--warmup", 1, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["result"]["steps"] == 1
    hyper_params = answer.json["record"]["hyper_params"]
    assert (hyper_params["ngf"], hyper_params["data_crop_size"]) == (64, 256)
