"""Hashes of records: the original's md5 of a configuration, and the hash of a whole record."""

import hashlib
import json
from typing import Any

from gbench.cndb.record import RECORD_SCHEMA, Record

UNKNOWN = "unknown"  # the original's name for no software or hardware info
HASH_KEY = "content_sha256"
SCHEMA_KEY = "record_schema"
HASHED = {  # key of the record -> column of train_results, in the order in which the md5 takes them
    "framework": "framework",
    "dataset": "dataset",
    "batch_size": "batch_size",
    "dev": "device",
    "dev_num": "dev_num",
    "train_type": "train_exec_mode",
    "eval_type": "eval_exec_mode",
    "dist_type": "dist_mode",
    "hyper_params": "hyper_params",
    "code_link": "code_link",
    "tags": "tags",
}


def md5_of(record: Record) -> str:
    """The row's md5: `md5_val`, else the original's rule (CNDB section 3). Equal for all runs of one configuration."""
    if record.md5_val is not None:
        return record.md5_val
    identity = {
        "_model_name": record.model,
        "_soft_info_name": record.soft_info.name if record.soft_info else UNKNOWN,
        "_hard_info_name": record.hard_info.name if record.hard_info else UNKNOWN,
        **{column: getattr(record, key) for key, column in HASHED.items()},
        "hyper_params": record.given_hyper_params,
    }
    return hashlib.md5(json.dumps(identity).encode(), usedforsecurity=False).hexdigest()


def content_sha256(values: dict[str, Any]) -> str:
    """SHA-256 of a record's values without the hash itself, as JSON with sorted keys and without spaces."""
    extra = {key: value for key, value in (values.get("extra") or {}).items() if key != HASH_KEY}
    content = {**values, "extra": extra}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(record: Record) -> Record:
    """The record with its schema version and its hash in `extra`."""
    # Sort the keys as in the record's file: the md5 depends on their order, and reading the file must not change it.
    values = json.loads(json.dumps(record.model_dump(), sort_keys=True))
    values["extra"] = {**(values["extra"] or {}), SCHEMA_KEY: RECORD_SCHEMA}
    values["extra"][HASH_KEY] = content_sha256(values)
    return Record.model_validate(values)


def seal_of(record: Record) -> str | None:
    seal = (record.extra or {}).get(HASH_KEY)
    return seal if isinstance(seal, str) else None


def seal_holds(record: Record) -> bool:
    """Whether a record is unchanged since `sealed`."""
    return seal_of(record) == content_sha256(record.model_dump())
