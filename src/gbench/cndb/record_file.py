"""Record files: YAML mappings with the original's keys, written atomically."""

import glob
import hashlib
import re
from pathlib import Path

import yaml

from gbench.base.files import entries, make_folder, write_atomically
from gbench.base.untrusted import parse_yaml, read_text
from gbench.cndb.record import Record, checked
from gbench.errors import ExitCode, RecordError
from gbench.settings.resolve import RUN_ID

try:
    from yaml import CSafeDumper as SafeDumper
except ImportError:  # PyYAML without libyaml: slower
    from yaml import SafeDumper  # type: ignore[assignment]

LONGEST = 93  # of a file name without `_` and `.yaml`


def file_name(record: Record, run_id: str) -> str:
    """The original's file name, shortened, and made unique by the run's id; under 100 characters."""
    evaluated = () if record.eval_type in (None, "-") else (record.eval_type,)
    fields = (
        *(record.model, "batch_size", record.batch_size, "dev_num", record.dev_num),
        *(record.train_type, record.dist_type, *evaluated),
    )
    named, unique = _fit("_".join(map(str, fields))), _unique(run_id)
    return f"{named[: LONGEST - len(unique)]}_{unique}.yaml"


def records_of(cndb_dir: Path, run_id: str) -> list[Path]:
    """The record files of a run in a CNDB folder, also those of an earlier gbench with their longer names."""
    own = RUN_ID.fullmatch(run_id)
    ending = "*".join(own.groups()) if own else _unique(run_id)
    return sorted((cndb_dir / "records").glob(f"*_{ending}.yaml"))


def files_like(record: Record, cndb_dir: Path) -> list[Path]:
    """The record files whose names differ only in the run from that of this record of a run, the newest first.

    Raises OSError: the folder can't be listed.
    """
    unique = _unique(record.run_id or "")
    beginning = file_name(record, record.run_id or "").removesuffix(f"{unique}.yaml")
    found = entries(cndb_dir / "records", f"{glob.escape(beginning)}*.yaml")
    return sorted(found, key=lambda path: path.name.removeprefix(beginning), reverse=True)


def _unique(run_id: str) -> str:
    """A run's id, without the model if it is of gbench's form; a hash of one that is long."""
    if own := RUN_ID.fullmatch(run_id):
        return "".join(own.groups())
    fit = _fit(run_id)
    return fit if len(fit) <= 40 else hashlib.sha256(run_id.encode()).hexdigest()[:40]


def _fit(text: str) -> str:
    return re.sub(r"[^\w.+=@-]", "_", text, flags=re.ASCII)


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
    """Read a record file, of gbench or of the original.

    Raises RecordError: unreadable, not plain YAML, or invalid; its exit code is that of a file that can't be used.
    """
    try:
        return parse_record(read_text(path, "give a CNDB record file"), str(path))
    except RecordError as error:
        error.exit_code = ExitCode.INFRASTRUCTURE
        raise


def parse_record(text: str, where: str) -> Record:
    values = parse_yaml(text, where, "fix it, or export the record again")
    if isinstance(values, dict):
        values = {"eval_type": None, **values}  # as the original reads a file without it; its md5 depends on it
    return checked(values, where)
