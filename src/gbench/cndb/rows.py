"""Convert a record to a row of `train_results` and back without loss.

The original never changes an existing info row, so a second record's details under the same name would be lost; nor
does it store whether an md5 was computed or given. Values that the columns can't hold go into the row's `extra` under
KEPT, and are restored from there.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from gbench.cndb.identity import HASHED, UNKNOWN
from gbench.cndb.record import Named, Record
from gbench.cndb.values import value_of_json

KEPT = "gbench_kept"
COMPUTED_MD5 = re.compile("[0-9a-f]{32}")  # anything else was given: the original stored driver versions there
COLUMNS = {**HASHED, "metric_data": "metrics", "perf_data": "performance", "extra": "extra"}


def name_of(named: Named | None) -> str:
    """The name of an info row, in the original's format."""
    return UNKNOWN if named is None else named.name


def detail_of(named: Named | None) -> Any:
    """The detail of an info row, in the original's format."""
    return "" if named is None else named.model_dump(exclude={"name"})


def row_of(record: Record, md5: str, software: Any, hardware: Any) -> dict[str, Any]:
    """The columns of a record, without ids and times. software, hardware: details of the info rows it references."""
    values = record.model_dump()
    row = {column: values[key] for key, column in COLUMNS.items()}
    row["md5"] = md5
    command = (record.extra or {}).get("command_line")
    row["cmd"] = command if isinstance(command, str) else None
    joined = {
        **row,
        "model": record.model,
        "software": name_of(record.soft_info),
        "software_detail": software,
        "hardware": name_of(record.hard_info),
        "hardware_detail": hardware,
    }
    read = values_of_row(joined)
    lost = {key: value for key, value in values.items() if not _same(read[key], value)}
    if not _same(record.given_hyper_params, record.hyper_params):
        lost["hyper_params"] = json.dumps(record.given_hyper_params)  # jsonb would change its floats
    if lost:
        whole = record.extra is None or KEPT in record.extra  # an extra that `values_of_row` would not restore
        row["extra"] = {**(record.extra or {}), KEPT: {**lost, "extra": record.extra} if whole else lost}
    return row


def values_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The record's keys from a row of `train_results`.

    Args:
        row: its columns, and `model`, `software`, `software_detail`, `hardware`, `hardware_detail` from the rows that
            it references.
    """
    values = {key: row[column] for key, column in COLUMNS.items()}
    values["model"] = row["model"]
    values["soft_info"] = _named(row["software"], row["software_detail"])
    values["hard_info"] = _named(row["hardware"], row["hardware_detail"])
    values["md5_val"] = None if COMPUTED_MD5.fullmatch(row["md5"] or "") else row["md5"]
    kept = values["extra"].get(KEPT) if isinstance(values["extra"], dict) else None
    if isinstance(kept, dict):
        values["extra"] = {key: value for key, value in values["extra"].items() if key != KEPT}
        values.update(kept)
    if isinstance(values["hyper_params"], str):
        values["hyper_params"] = value_of_json(values["hyper_params"])
    return values


def _same(one: Any, other: Any) -> bool:
    """Whether two values have the same JSON; in Python, 1 equals 1.0 and True."""
    if one is other or repr(one) == repr(other):  # sooner known, and true of most
        return True
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _named(name: str | None, detail: Any) -> dict[str, Any] | None:
    if name is None or (name == UNKNOWN and detail == ""):
        return None
    return {"name": name, **(detail if isinstance(detail, dict) else {})}
