"""`gbench launch --smoke`: a tiny training that runs anywhere in less than a minute. Imports nothing heavy."""

from typing import Any

COUNTS = {"train": 16, "val": 2, "test": 4}
SIZE = 72
"""Side of a drawn image in pixels."""
FOLDER = "smoke"
"""Of the drawn dataset, in the cache folder."""
SETTINGS = (
    *("data.load_size=72", "data.crop_size=64", "data.workers=0", "network.ngf=8", "network.ndf=8"),
    *("schedule.print_every=1", "measure.peak_seconds=0.2"),
)
VALUES: dict[str, Any] = {
    "model": "pix2pix_resnet_9blocks",
    "batch_size": 4,
    "device_count": 1,
    "precision": "FP32",
    "device": "cpu",
    "runner": "local",
    "steps": 20,
    "warmup": 5,
    "dataset": "synthetic",
}
