"""Set the precision of a run by the API of the installed torch, and read it back.

By default PyTorch runs FP32 convolutions in TF32 on Ampere and newer; here FP32 means FP32. From torch 2.9 on each
backend has `fp32_precision`. The older switches are set too: where the two differ, reading the older ones raises, and
torch.compile reads them (torch 2.9 and 2.10).
"""

from typing import Any

import torch

from gbench.errors import RunFailed
from gbench.settings.literals import Precision

AUTOCAST: dict[Precision, torch.dtype | None] = {
    "FP32": None,
    "TF32": None,
    "AMP": torch.float16,
    "BF16": torch.bfloat16,
}
AMPERE = (8, 0)
BACKENDS: Any = torch.backends  # its stubs lag behind: `conv` and `mkldnn.matmul` are not in them


def _has_fp32_precision() -> bool:
    return hasattr(BACKENDS.cudnn, "conv") and hasattr(BACKENDS.cudnn.conv, "fp32_precision")


def set_precision(precision: Precision, device: torch.device) -> None:
    """Set the precision of matrix products and convolutions for the process. Raises RunFailed: the device lacks it."""
    if precision in ("TF32", "BF16") and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < AMPERE:
            name = torch.cuda.get_device_name(device)
            raise RunFailed(
                f"PRECISION {precision} needs compute capability 8.0, {name} has {capability[0]}.{capability[1]}",
                "take FP32 or AMP",
            )
    tf32 = precision == "TF32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    BACKENDS.cudnn.allow_tf32 = tf32
    if _has_fp32_precision():
        mode = "tf32" if tf32 else "ieee"
        BACKENDS.cuda.matmul.fp32_precision = mode
        BACKENDS.cudnn.conv.fp32_precision = mode
        # oneDNN has reduced modes on CPUs, which FP32 excludes
        BACKENDS.mkldnn.matmul.fp32_precision = "ieee"
        BACKENDS.mkldnn.conv.fp32_precision = "ieee"


def read_back(output_dtype: torch.dtype) -> dict[str, Any]:
    """What torch reports, and the resulting precision (`ran`). output_dtype: the only sign of autocast."""
    if _has_fp32_precision():
        matmul = BACKENDS.cuda.matmul.fp32_precision
        conv = BACKENDS.cudnn.conv.fp32_precision
        flags: dict[str, Any] = {"cuda_matmul_fp32_precision": matmul, "cudnn_conv_fp32_precision": conv}
        in_tf32 = {matmul == "tf32", conv == "tf32"}
    else:
        flags = {
            "cuda_matmul_allow_tf32": BACKENDS.cuda.matmul.allow_tf32,
            "cudnn_allow_tf32": BACKENDS.cudnn.allow_tf32,
        }
        in_tf32 = set(flags.values())
    output = str(output_dtype).removeprefix("torch.")
    return {"ran": _name(in_tf32, output), "output_dtype": output, **flags}


def confirmed(requested: Precision, output_dtype: torch.dtype) -> dict[str, Any]:
    """`read_back`, checked against the requested precision. Raises RunFailed: they differ."""
    reported = read_back(output_dtype)
    if reported["ran"] != requested:
        raise RunFailed(
            f"PRECISION {requested} was requested, torch reports {reported['ran']} ({reported})",
            "look for code that changes torch.backends during the run",
        )
    return reported


def _name(in_tf32: set[bool], output: str) -> str:
    if len(in_tf32) > 1:
        return "mixed FP32/TF32"
    base = "TF32" if in_tf32 == {True} else "FP32"
    if output == "float32":
        return base
    named = {"float16": "AMP", "bfloat16": "BF16"}.get(output, output)
    return named if base == "FP32" else f"{named} over TF32"
