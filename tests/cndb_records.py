"""Records that tests store."""

from __future__ import annotations

from typing import Any

from gbench.cndb.identity import sealed
from gbench.cndb.record import Record


def record(run_id: str | None = None, throughput: float = 22.9, **changes: Any) -> Record:
    """A performance record, as a run of this project leaves it where it has a run id."""
    values = {
        "model": "pix2pix-resnet_9blocks",
        "batch_size": 32,
        "framework": "PyTorch",
        "dataset": "facades",
        "dev": "V100-PCIE-32GB",
        "dev_num": 8,
        "train_type": "FP32",
        "dist_type": "DDP",
        "perf_data": {"throughput": throughput, "throughput_unit": "img/s"},
        **changes,
    }
    if run_id is None:
        return Record.model_validate(values)
    return sealed(Record.model_validate({**values, "extra": {**(changes.get("extra") or {}), "run_id": run_id}}))
