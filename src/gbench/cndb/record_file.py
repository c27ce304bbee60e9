"""Record files: YAML mappings with the original's keys, written atomically."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from gbench.base.files import make_folder, write_atomically
from gbench.base.untrusted import parse_yaml, read_text
from gbench.cndb.record import Record, checked

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:  # PyYAML without libyaml: slower
    from yaml import SafeDumper  # type: ignore[assignment]


def file_name(record: Record, run_id: str) -> str:
    """The original's file name, made unique by the run's id; at most 255 characters, the limit of file systems."""
    fields = (
        f"{record.model}_batch_size_{record.batch_size}_dev_num_{record.dev_num}_precision_{record.train_type}"
        f"_eval_model_{record.eval_type}_dpf_mode_{record.dist_type}"
    )
    named, unique = (re.sub(r"[^\w.+=@-]", "_", text, flags=re.ASCII) for text in (fields, run_id))
    return f"{named[: 230 - len(unique)]}_{unique}.yaml"


def to_yaml(record: Record) -> str:
    """The record as YAML with sorted keys, as the original writes it."""
    values = {**record.model_dump(), "hyper_params": record.given_hyper_params}
    return yaml.dump(values, Dumper=SafeDumper, sort_keys=True, allow_unicode=True)


def write_record(record: Record, cndb_dir: Path, run_id: str) -> Path:
    """Write the record under `cndb_dir/records/`; returns its path. Raises InfrastructureError."""
    path = cndb_dir / "records" / file_name(record, run_id)
    save(record, path)
    return path


def save(record: Record, path: Path) -> None:
    """Write a record file atomically. Raises InfrastructureError."""
    make_folder(path.parent)
    write_atomically(path, to_yaml(record))


def read_record(path: Path) -> Record:
    """Read a record file, of gbench or of the original. Raises RecordError: unreadable, not plain YAML, or invalid."""
    return parse_record(read_text(path, "give a CNDB record file"), str(path))


def parse_record(text: str, where: str) -> Record:
    """The record in YAML text. Raises RecordError."""
    values = parse_yaml(text, where, "fix it, or export the record again")
    if isinstance(values, dict):
        values = {"eval_type": None, **values}  # as the original reads a file without it; its md5 depends on it
    return checked(values, where)
