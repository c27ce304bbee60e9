"""The exported JSON schema matches the code, accepts every record and rejects anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from jsonschema import Draft202012Validator

from drawn_records import ANY_RECORD, REPEATABLE, drawn, of_run
from gbench.base.paths import project_file
from gbench.cndb import json_schema
from gbench.cndb.identity import sealed
from gbench.cndb.json_schema import PLACE, schema_text
from gbench.cndb.record import Record
from gbench.cndb.record_file import read_record, to_yaml
from gbench.errors import RecordError

SCHEMA = project_file(PLACE)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_file_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `make schema`"


def test_make_schema_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "project_file", lambda place: tmp_path / place)
    json_schema.main()
    assert (tmp_path / PLACE).read_text(encoding="utf-8") == SCHEMA.read_text(encoding="utf-8")


@given(record=ANY_RECORD)
@REPEATABLE
def test_every_record_is_valid(validator: Draft202012Validator, record: Record) -> None:
    validator.validate(yaml.safe_load(to_yaml(record)))
    validator.validate(sealed(of_run("run-1")).model_dump())


@pytest.mark.parametrize("name", ["pix2pix_v100_1", "pix2pix_v100_8", "pix2pix_convergency", "resnet50"])
def test_the_originals_records_are_valid_once_read(
    validator: Draft202012Validator, name: str, shared: Callable[[str], Path]
) -> None:
    validator.validate(read_record(shared(f"cndb-legacy/{name}.yaml")).model_dump())


@pytest.mark.parametrize(
    "changes",
    [
        {"dev_num": 0},
        {"dev_num": "many"},
        {"batch_size": 1.5},
        {"model": ""},
        {"model": None},
        {"dev": "x" * 301},
        {"perf_data": None, "metric_data": None},
        {"perf_data": {}, "metric_data": {}},
        {"perf_data": [1]},
        {"soft_info": {"torch": "2"}},
        {"tags": ["a", 1]},
        {"surprise": 1},
    ],
)
def test_the_schema_refuses_what_the_code_refuses(validator: Draft202012Validator, changes: dict[str, Any]) -> None:
    assert not validator.is_valid({**drawn().model_dump(), **changes})
    with pytest.raises(RecordError):
        drawn(**changes)
