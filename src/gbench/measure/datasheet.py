"""Peak figures from NVIDIA's data sheets: dense, without sparsity; memory bandwidth in GB/s.

A card is looked up by its whole name, as similar ones (GH200, H200 NVL, a MIG slice of an A100) have other figures.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataSheet:
    """One card. tflop_s: by gbench's name of the precision; only those that the card supports."""

    tflop_s: dict[str, float]
    bandwidth_gb_s: float
    source: str


_V100 = "NVIDIA V100 Tensor Core GPU data sheet, Jan 2020"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet, Jun 2021"
_H100 = "NVIDIA H100 Tensor Core GPU data sheet; its tensor figures are with sparsity, halved here"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet; its tensor figures are with sparsity, halved here"
_GA100 = {"FP32": 19.5, "TF32": 156.0, "AMP": 312.0, "BF16": 312.0}
_GH100 = {"FP32": 67.0, "TF32": 494.5, "AMP": 989.5, "BF16": 989.5}

# By the device's whole name, without "NVIDIA " and "Tesla ".
CARDS: tuple[tuple[tuple[str, ...], DataSheet], ...] = (
    (("V100-SXM2-16GB", "V100-SXM2-32GB"), DataSheet({"FP32": 15.7, "AMP": 125.0}, 900.0, _V100)),
    (("V100-PCIE-16GB", "V100-PCIE-32GB"), DataSheet({"FP32": 14.0, "AMP": 112.0}, 900.0, _V100)),
    (("A100-SXM4-40GB", "A100-PCIE-40GB"), DataSheet(_GA100, 1555.0, _A100)),
    (("A100-SXM4-80GB", "A100-SXM-80GB"), DataSheet(_GA100, 2039.0, _A100)),
    (("A100 80GB PCIe", "A100-PCIE-80GB"), DataSheet(_GA100, 1935.0, _A100)),
    (("H100 PCIe",), DataSheet({"FP32": 51.0, "TF32": 378.0, "AMP": 756.5, "BF16": 756.5}, 2000.0, _H100)),
    (("H100 80GB HBM3",), DataSheet(_GH100, 3350.0, _H100)),
    (("H200",), DataSheet(_GH100, 4800.0, _H200)),
)


def data_sheet(device_name: str) -> DataSheet | None:
    """The data sheet of a card by its device name; None for an unknown card."""
    return next((sheet for names, sheet in CARDS if device_name in names), None)
