"""The CNDB record: one benchmark result, in the keys that the original `cndb_submit` reads and writes.

Numbers are numbers, with a unit beside them; what the original does not know goes into the free mappings.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gbench.files import make_folder, write_atomically

RECORD_SCHEMA = 1


class Named(BaseModel):
    """`soft_info` and `hard_info`: a name, which is the database's key, and free details."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)


class Record(BaseModel):
    """One record file, key by key."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1)
    batch_size: int = Field(gt=0)  # total over all devices
    framework: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    dev: str = Field(min_length=1)
    dev_num: int = Field(gt=0)
    train_type: str
    eval_type: str | None = "-"
    dist_type: str
    perf_data: dict[str, Any] | None = None
    metric_data: dict[str, Any] | None = None
    hyper_params: dict[str, Any] | None = None
    code_link: str | None = None
    soft_info: Named | None = None
    hard_info: Named | None = None
    md5_val: str | None = None  # None: computed at submission
    tags: list[str] | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_a_result(self) -> Record:
        if not self.perf_data and not self.metric_data:
            raise ValueError("perf_data or metric_data is needed")
        for section, values in (("perf_data", self.perf_data), ("metric_data", self.metric_data)):
            for key, value in (values or {}).items():
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"{section}.{key} is {value}: not a finite number")
        return self


def file_name(record: Record, run_id: str) -> str:
    """The original's file name, made unique by the run's id."""
    fields = (
        f"{record.model}_batch_size_{record.batch_size}_dev_num_{record.dev_num}_precision_{record.train_type}"
        f"_eval_model_{record.eval_type}_dpf_mode_{record.dist_type}_{run_id}"
    )
    return re.sub(r"[^\w.+=@-]", "_", fields) + ".yaml"


def to_yaml(record: Record) -> str:
    """The record as the original dumps it: a mapping with sorted keys."""
    return yaml.safe_dump(record.model_dump(), sort_keys=True, allow_unicode=True)


def write_record(record: Record, cndb_dir: Path, run_id: str) -> Path:
    """Write the record under `cndb_dir/records/`; returns its path. Raises InfrastructureError."""
    path = cndb_dir / "records" / file_name(record, run_id)
    make_folder(path.parent)
    write_atomically(path, to_yaml(record))
    return path
