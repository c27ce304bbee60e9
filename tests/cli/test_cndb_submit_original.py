"""What the original `cndb_submit` took: its log levels, its precedence of flags, its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gbench.cli.cndb_submit import main
from gbench.cndb.identity import md5_of
from gbench.cndb.record_file import parse_record, read_record

RECORD = {"model": "m", "framework": "PyTorch", "dataset": "d", "dev": "V100", "dev_num": 1, "perf_data": {"mean": 2.0}}


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs `cndb_submit --load_file` of a record with these keys, and flags; returns the saved record's values."""
    monkeypatch.chdir(tmp_path)

    def run(keys: dict[str, Any], *flags: str) -> dict[str, Any]:
        (tmp_path / "load.yaml").write_text(yaml.safe_dump({**RECORD, **keys}))
        main(["--load_file", "load.yaml", *flags, "--save_file", "saved.yaml"])
        values: dict[str, Any] = yaml.safe_load((tmp_path / "saved.yaml").read_text())
        return values

    return run


Submit = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("loaded", "flags", "key", "value"),
    [
        ({}, [], "eval_type", None),
        ({}, [], "dist_type", None),
        ({"dist_type": "DP"}, [], "dist_type", "DP"),
        ({"dist_type": "DP"}, ["--dist_type", "single"], "dist_type", "DP"),
        ({"dist_type": "DP"}, ["--dist_type", "DDP"], "dist_type", "DDP"),
        ({"tags": ["a"]}, ["--tags", ""], "tags", ["a"]),
        ({"tags": ["a"]}, ["--tags", "b"], "tags", ["b"]),
        ({}, ["--dev_num", "0"], "dev_num", 1),
        ({}, ["--perf_data", "{}"], "perf_data", {"mean": 2.0}),
        ({"perf_data": {}}, [], "perf_data", {}),
        ({}, ["--soft_info", '{"name": "a"}', "--soft_file", "none.yaml"], "soft_info", {"name": "a"}),
    ],
)
def test_what_overrides_a_loaded_record(
    submit: Submit, loaded: dict[str, Any], flags: list[str], key: str, value: Any
) -> None:
    assert submit(loaded, *flags)[key] == value


@pytest.mark.parametrize("level", ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL", "CRITICAL"])
def test_an_unknown_key_is_left_out_with_a_warning(
    submit: Submit, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "surprise" not in submit({"surprise": 1, "db_store_type": "save"}, "--log-level", level)
    said = capsys.readouterr().err
    if level in ("ERROR", "FATAL", "CRITICAL"):
        assert said == ""
    else:
        assert said == "cndb_submit: warning: load.yaml: ignored, as no record has it: 'db_store_type, surprise'\n"


def test_db_config_comes_before_db_file(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: from-file.sqlite}")
    submit({}, "--db_file", "db.yaml", "--db_config", '{"schema": "sqlite", "database": "from-json.sqlite"}')
    assert [path.name for path in tmp_path.glob("**/*.sqlite")] == ["from-json.sqlite"]


def test_a_record_without_figures_can_be_listed(submit: Submit, gbench: Callable[..., Any], tmp_path: Path) -> None:
    database = '{"uri": "sqlite:///cndb.sqlite", "type": "postgres"}'
    submit({"perf_data": {}}, "--db_config", database)
    assert len(gbench("cndb", "list", "--json").json) == 1
    assert gbench("cndb", "show", 1).code == 0


# the md5


def originals_md5(**changes: Any) -> str:
    """By the rule of the original, from its own form of RECORD."""
    row = {
        "_model_name": "m",
        "_soft_info_name": "unknown",
        "_hard_info_name": "unknown",
        "framework": "PyTorch",
        "dataset": "d",
        "batch_size": None,
        "device": "V100",
        "dev_num": 1,
        "train_exec_mode": None,
        "eval_exec_mode": None,
        "dist_mode": None,
        "hyper_params": None,
        "code_link": None,
        "tags": None,
    }
    return hashlib.md5(json.dumps({**row, **changes}).encode()).hexdigest()


@pytest.mark.parametrize(
    ("keys", "columns"),
    [
        ({}, {}),
        ({"eval_type": "-"}, {"eval_exec_mode": "-"}),
        *(
            ({"hyper_params": {"a": value}}, {"hyper_params": {"a": value}})
            for value in (0.1, -0.0, 2.0**53, 1e16, 2**53 + 1, [-1e300, {"b": -0.0}])
        ),
    ],
)
def test_the_md5_is_the_originals(
    keys: dict[str, Any], columns: dict[str, Any], submit: Submit, tmp_path: Path
) -> None:
    record = parse_record(yaml.safe_dump({**RECORD, **keys}), "x")
    assert md5_of(record) == originals_md5(**columns)
    submit(keys, "--db_config", '{"schema": "sqlite", "database": "x.sqlite"}')
    assert md5_of(read_record(tmp_path / "saved.yaml")) == originals_md5(**columns)


def test_such_floats_come_back_from_a_database(submit: Submit, gbench: Callable[..., Any], tmp_path: Path) -> None:
    submit({"hyper_params": {"a": 1e16, "b": -0.0}}, "--db_config", '{"uri": "sqlite:///cndb.sqlite"}')
    assert gbench("cndb", "export", 1).out == f"---\n{(tmp_path / 'saved.yaml').read_text()}"


def test_no_eval_mode_by_flags(tmp_path: Path) -> None:
    flags = [argument for key, value in RECORD.items() if key != "perf_data" for argument in (f"--{key}", str(value))]
    main([*flags, "--perf_data", "{}", "--save_file", str(tmp_path / "saved.yaml")])
    values = yaml.safe_load((tmp_path / "saved.yaml").read_text())
    assert (values["perf_data"], values["metric_data"], values["eval_type"]) == ({}, None, None)
    record = parse_record(yaml.safe_dump({**values, "perf_data": {"mean": 2.0}}), "x")
    assert md5_of(record) == originals_md5(dist_mode="single")
