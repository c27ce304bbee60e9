"""FP32 is FP32: set through torch's switches and read back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gbench.pix2pix.step import precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    precision.set_precision("FP32", CPU)


@pytest.mark.parametrize(("asked", "ran"), [("FP32", "FP32"), ("TF32", "TF32"), ("AMP", "FP32"), ("BF16", "FP32")])
def test_torch_reports_what_was_set_for_matmul_and_convolution(asked: precision.Precision, ran: str) -> None:
    precision.set_precision(asked, CPU)
    found = precision.read_back(torch.float32)
    assert found["ran"] == ran
    flags = {value for key, value in found.items() if key.startswith(("cuda_", "cudnn_"))}
    assert flags in ({"tf32"}, {"ieee"}, {True}, {False})  # both alike: never one of the two in TF32


@pytest.mark.parametrize(("asked", "matmul"), [("TF32", "high"), ("FP32", "highest")])
def test_older_switches_agree_with_the_newer_ones(asked: precision.Precision, matmul: str) -> None:
    """torch raises where they differ, and torch.compile reads the older ones."""
    precision.set_precision(asked, CPU)
    tf32 = asked == "TF32"
    assert torch.get_float32_matmul_precision() == matmul
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (tf32, tf32)


def test_torchs_own_default_would_run_convolutions_in_tf32() -> None:
    import subprocess
    import sys

    code = "import torch; from gbench.pix2pix.step.precision import read_back; print(read_back(torch.float32)['ran'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "mixed FP32/TF32"


@pytest.mark.parametrize(
    ("dtype", "ran"), [(torch.float16, "AMP"), (torch.bfloat16, "BF16"), (torch.float64, "float64")]
)
def test_autocast_shows_in_the_output(dtype: torch.dtype, ran: str) -> None:
    precision.set_precision("FP32", CPU)
    assert precision.read_back(dtype)["ran"] == ran


def test_a_switch_flipped_behind_our_back_is_seen() -> None:
    precision.set_precision("FP32", CPU)
    if hasattr(torch.backends.cudnn, "conv"):
        torch.backends.cudnn.conv.fp32_precision = "tf32"
    else:
        torch.backends.cudnn.allow_tf32 = True
    assert precision.read_back(torch.float32)["ran"] == "mixed FP32/TF32"
