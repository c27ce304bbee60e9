"""Evaluations as the worker writes them, made without a generator."""

from __future__ import annotations

from gbench.runfolder.evaluation_result import Checkpoint, Evaluation, Image, spread
from gbench.settings.model_config import DataConfig, NetworkConfig


def evaluation_of(images: dict[str, tuple[float | None, float | None, float | None]], **changes: object) -> Evaluation:
    """An evaluation of these images: by name, their MAE, PSNR and SSIM."""
    listed = [
        Image(name=name, source=f"test/{name}.png", metrics=dict(zip(("MAE", "PSNR", "SSIM"), values, strict=True)))
        for name, values in images.items()
    ]
    values: dict[str, object] = {
        "model": "pix2pix_resnet_9blocks",
        "checkpoint": Checkpoint(path="/runs/a/checkpoints/epoch-0200.pt", sha256="c0ffee", epoch=200, run_id="a"),
        "dropout": True,
        "statistics": "batch",
        "seed": 0,
        "batch_size_per_device": 1,
        "device": "CPU 9000",
        "device_count": 1,
        "precision": "FP32",
        "dataset": "synthetic",
        "dataset_sha256": "c0ffee",
        "network": NetworkConfig(),
        "data": DataConfig(phase="test", load_size=256, flip=False),
        "software": {"gbench_version": "0.1.0"},
        "metrics": {name: spread(image.metrics[name] for image in listed) for name in ("MAE", "PSNR", "SSIM")},
        "set_metrics": {},
        "not_computed": {"LPIPS": "no --lpips-weights were given", "FID": "no weights", "KID": "no weights"},
        "images": listed,
    }
    return Evaluation.model_validate({**values, **changes})
