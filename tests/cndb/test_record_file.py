"""Record files: errors in one sentence each, and unique file names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from drawn_records import ANY_RECORD, REPEATABLE, drawn
from gbench.cndb.identity import content_sha256, md5_of, seal_holds, sealed
from gbench.cndb.record import Record
from gbench.cndb.record_file import parse_record, read_record, to_yaml, write_record
from gbench.errors import RecordError

GOOD = "{model: m, framework: f, dataset: d, dev: x, dev_num: 1, perf_data: {throughput: 1}}"


def but(**changes: Any) -> str:
    """GOOD, with keys changed, or left out by `...`."""
    values = {**yaml.safe_load(GOOD), **changes}
    return yaml.safe_dump({key: value for key, value in values.items() if value is not ...})


def test_the_text_that_the_refusals_vary_is_a_record() -> None:
    assert parse_record(GOOD, "it").dev_num == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a mapping of record keys"),
        ("- a\n- b", "not a mapping of record keys"),
        ("just words", "not a mapping of record keys"),
        ("model: [1\ndev: 2", " line 2 is not plain YAML (did not find expected ',' or ']')"),
        ("model: a\n  b: c", " line 2 is not plain YAML (mapping values are not allowed in this context)"),
        ("model: a\x01b", " is not plain YAML (unacceptable character #x0001: control characters are not allowed)"),
        ("dev_num: 2026-02-30", " is not plain YAML (day is out of range for month)"),
        ("model: *nowhere", " line 1 is not plain YAML (found undefined alias)"),
        ("extra: {? {a: b} : c}", " line 1 is not plain YAML (found unhashable key)"),
        pytest.param("extra: " + "[" * 200, " is not plain YAML (it nests more than 100 deep)", id="flow"),
        pytest.param("- " * 200_000, " is not plain YAML (it nests more than 100 deep)", id="block"),
        ("extra: &a [*a]", "extra" + ("[0]" * 20)[:55] + "... is nested more than 100 deep"),
        (but(dev_num=0), "dev_num: input should be greater than 0 (it is 0)"),
        (but(dev_num=2**31), "dev_num: input should be less than 2147483648 (it is 2147483648)"),
        (
            but(dev_num="many"),
            "dev_num: input should be a valid integer, unable to parse string as an integer (it is 'many')",
        ),
        (but(dev_num=1.5), "dev_num: input should be a valid integer, got a number with a fractional part (it is 1.5)"),
        (but(dev_num=True), "dev_num: input should be a number (it is True)"),
        pytest.param(
            but() + "batch_size: " + "9" * 5000, " is not plain YAML (a number has thousands of digits)", id="9"
        ),
        (but(batch_size=-1), "batch_size: input should be greater than 0 (it is -1)"),
        (but(perf_data=...), "perf_data or metric_data is needed"),
        (but(perf_data={}, metric_data={}), "perf_data or metric_data is needed"),
        (but(perf_data=5), "perf_data: input should be a valid dictionary (it is 5)"),
        (but(model=5), "model: input should be a valid string (it is 5)"),
        (but(model=None), "model: input should be a valid string (it is None)"),
        (but(model=...), "model: field required"),
        (but(model=""), "model: string should have at least 1 character (it is '')"),
        (but(dev="x" * 301), f"dev: string should have at most 300 characters (it is '{'x' * 59})"),
        (but(extra={"run_id": "x" * 301}), "extra.run_id has more than 300 characters"),
        (but(model=..., dataset=..., dev=...), "model: field required, and 2 more"),
        (but(soft_info={"torch": "2"}), "soft_info.name: field required"),
        (but(soft_info="image"), "soft_info: input should be a valid dictionary or instance of Named (it is 'image')"),
        (but(tags="a,b"), "tags: input should be a valid list (it is 'a,b')"),
        (but(tags=["a", 1]), "tags.1: input should be a valid string (it is 1)"),
        (but(surprise=1), "surprise: extra inputs are not permitted (it is 1)"),
        (but(extra={"a": float("nan")}), "extra.a is nan: not a finite number"),
        (but(extra={"a": b"bytes"}), "extra.a is a bytes: not a number, text, list or mapping"),
        (but(extra={"a": {1, 2}}), "extra.a is a set: not a number, text, list or mapping"),
    ],
)
def test_what_is_no_record_is_told_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(RecordError) as error:
        parse_record(text, "it.yaml")
    said = error.value.what
    assert said == f"it.yaml{why}" if why.startswith(" ") else said == f"it.yaml: {why}"
    assert "\n" not in str(error.value)


def bomb(lines: int) -> str:
    """A record of a few hundred characters that expands to 10 ** lines values."""
    aliases = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else '0'] * 10)}]" for n in range(lines)]
    return GOOD[1:-1].replace(", ", "\n", 4).replace(", perf", "\nperf") + "\nextra:\n" + "\n".join(aliases)


def test_aliases_are_read_and_those_that_grow_are_refused() -> None:
    found = parse_record(bomb(3), "it.yaml").extra
    assert found is not None and found["a2"] == [[[0] * 10] * 10] * 10
    with pytest.raises(RecordError, match=r"not plain YAML \(it holds more than 1,000,000 values, aliases written out"):
        parse_record(bomb(10), "it.yaml")
    endless = bomb(5).replace("a0: &a0 [0, ", "a0: &a0 [*a0, ") + "\n  b: &b [*a4, *b]"
    with pytest.raises(RecordError, match=r"is nested more than 100 deep|holds more than 1,000,000 values"):
        parse_record(endless, "it.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_ignored(tmp_path: Path) -> None:
    path = write_record(drawn(), tmp_path, "run")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_record(path) == drawn()


def test_deeper_than_libyaml_itself_goes_is_told_too() -> None:
    with pytest.raises(
        RecordError, match=r"is not plain YAML \((it nests more than 100 deep|exceeded maximum nesting)"
    ):
        parse_record("extra: " + "[" * 200_000, "it.yaml")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [{folder}]",
        "!!python/object/new:os.mkdir [{folder}]",
        "!!python/name:os.mkdir ''",
        "!!python/module:os ''",
        "!!python/tuple [1, 2]",
        "!mine 5",
    ],
)
def test_no_tag_builds_a_python_object(tag: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with pytest.raises(RecordError, match=r"^it\.yaml line 1 is not plain YAML \(could not determine a constructor"):
        parse_record("extra: " + tag.format(folder=folder), "it.yaml")
    assert not folder.exists()


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none.yaml can't be read \(No such file or directory\)"):
        read_record(tmp_path / "none.yaml")
    with pytest.raises(RecordError, match=r"can't be read \(Is a directory\)"):
        read_record(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("model: é".encode("latin-1"))
    with pytest.raises(RecordError, match=r"latin.yaml can't be read \(it is not UTF-8 text\)"):
        read_record(tmp_path / "latin.yaml")


@given(record=ANY_RECORD)
@REPEATABLE
def test_any_record_reads_back_from_its_file(record: Record, tmp_path: Path) -> None:
    record = sealed(record)
    path = write_record(record, tmp_path, "run")
    read = read_record(path)
    assert to_yaml(read) == path.read_text(encoding="utf-8") == to_yaml(record)
    assert md5_of(read) == md5_of(record)
    assert seal_holds(read)


@pytest.mark.parametrize("name", ["n" * 300, "漢" * 300, "../../etc/passwd", "a/b\\c:d*e", ".hidden", "a\nb"])
def test_any_model_makes_a_file_of_its_own_in_the_folder(name: str, tmp_path: Path) -> None:
    record = drawn(model=name, train_type=name)
    paths = {write_record(record, tmp_path, run_id) for run_id in ("20260131-101112-ab12cd", "20260131-101112-ab12ce")}
    assert len(paths) == 2
    assert {path.resolve().parent for path in paths} == {(tmp_path / "records").resolve()}
    assert sorted(os.listdir(tmp_path / "records")) == sorted(path.name for path in paths)  # noqa: PTH208
    assert all(read_record(path) == record for path in paths)


def test_md5_is_that_of_the_contracts_mapping() -> None:
    identity = {
        "_model_name": "pix2pix-resnet_9blocks",
        "_soft_info_name": "unknown",
        "_hard_info_name": "Drawn OS 1",
        "framework": "PyTorch",
        "dataset": "facades",
        "batch_size": 32,
        "device": "Drawn-80GB",
        "dev_num": 2,
        "train_exec_mode": "FP32",
        "eval_exec_mode": "-",
        "dist_mode": "DDP",
        "hyper_params": {"z": "é", "a": 1.0},
        "code_link": None,
        "tags": ["b", "a"],
    }
    record = drawn(soft_info=None, hyper_params={"z": "é", "a": 1.0}, code_link=None, tags=["b", "a"])
    assert md5_of(record) == hashlib.md5(json.dumps(identity).encode("utf-8")).hexdigest()
    assert md5_of(drawn(md5_val="460.73.01")) == "460.73.01"


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("pix2pix_convergency", "7ba8a013796776433e10cd50db7df262"),
        ("resnet50", "bc85c6cc9cc10c1cbda34495791d8904"),
        ("pix2pix_v100_1", "460.73.01"),
        ("pix2pix_v100_8", "460.73.01"),
    ],
)
def test_md5_of_the_originals_files_is_the_originals(name: str, md5: str, shared: Callable[[str], Path]) -> None:
    assert md5_of(read_record(shared(f"cndb-legacy/{name}.yaml"))) == md5


def test_a_sealed_record_has_the_md5_of_its_file() -> None:
    record = sealed(drawn(hyper_params={"z": 1, "a": {"y": 1, "b": 2}}))
    assert md5_of(parse_record(to_yaml(record), "it")) == md5_of(record)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("throughput: 22.5\n", "throughput: 22.6\n"),
        ("seed: 1\n", "seed: 1.0\n"),
        ("facades", "maps"),
        ("- nightly\n", ""),
    ],
)
def test_a_seal_breaks_by_any_change(before: str, after: str) -> None:
    text = to_yaml(sealed(drawn()))
    assert seal_holds(parse_record(text, "it"))
    assert before in text
    assert not seal_holds(parse_record(text.replace(before, after), "it"))


def test_a_record_without_a_seal_holds_none() -> None:
    record = drawn()
    assert not seal_holds(record)
    assert content_sha256(record.model_dump()) == content_sha256(parse_record(to_yaml(record), "it").model_dump())
