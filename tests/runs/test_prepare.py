from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gbench.cndb.from_run import record_of
from gbench.cndb.identity import md5_of
from gbench.datasets import hash_cache
from gbench.errors import InfrastructureError
from gbench.measure.summary import summarize_folder
from gbench.runs.prepare import dataset_facts, prepare
from gbench.settings.spec import RunSpec
from run_folders import write_run


def test_the_dataset_is_hashed_once_a_change(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_S", -60.0)  # the files have just been written
    spec = make_spec()
    first, again, all_again = (dataset_facts(one)[0] for one in (spec, spec, make_spec(rehash=True)))
    assert [facts.hashing for facts in (first, again, all_again)] == ["computed", "cached", "computed"]
    assert first.sha256 == again.sha256 == all_again.sha256


def test_a_changed_image_is_found_with_the_cache_too(
    make_spec: Callable[..., RunSpec], facades: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_cache, "SETTLED_S", -60.0)
    shutil.copytree(facades, tmp_path / "own")
    spec = make_spec(datasets_dir=str(tmp_path / "own"))
    dataset_facts(spec)
    (tmp_path / "own/train/3.png").write_bytes(b"changed")
    with pytest.raises(InfrastructureError, match=r"1 place\(s\), first changed: train/3\.png"):
        dataset_facts(spec)


def test_the_record_says_it_and_its_md5_does_not(make_spec: Callable[..., RunSpec]) -> None:
    records = []
    for how in (None, "computed", "cached"):
        dataset = {"root": "/data", "sha256": "c0ffee", **({"hashing": how} if how else {})}
        spec = make_spec(rehash=how == "computed")
        folder = write_run(spec, host={"dataset": dataset})
        records.append(record_of(folder, summarize_folder(folder)))
    extras = [record.extra or {} for record in records]
    assert [extra.get("dataset_hashing") for extra in extras] == [None, "computed", "cached"]
    assert len({md5_of(record) for record in records}) == 1
    assert all("rehash" not in extra["spec"] for extra in extras)


def test_a_dataset_that_may_not_be_what_is_meant(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    """It is in the run's warnings, which go to the terminal and into the record."""
    train = tmp_path / "set/train"
    (train / ".ipynb_checkpoints").mkdir(parents=True)
    for path in (train / "1.png", train / ".ipynb_checkpoints/1-checkpoint.png"):
        Image.new("RGB", (72, 72)).save(path)
    (train / "2.webp").touch()
    _, warnings = dataset_facts(make_spec(datasets_dir=str(tmp_path / "set")))
    assert ["left out" in warnings[1], "hidden files" in warnings[2]] == [True, True]
    assert "is 72x72 pixels, so its halves are 36x72: a pair is A and B side by side" in "".join(warnings)


def test_variables_that_switch_libraries_are_said(make_spec: Callable[..., RunSpec]) -> None:
    environ = {"NVIDIA_TF32_OVERRIDE": "1", "NCCL_ALGO": "Ring", "KMP_BLOCKTIME": "0", "HOME": "/root", "NCCLS": "x"}
    said = prepare(make_spec(env={"NCCL_ALGO": "Tree"}), environ).warnings[-1]
    assert said == "variables of the environment change what libraries do: KMP_BLOCKTIME=0, NVIDIA_TF32_OVERRIDE=1"
    assert not any("variables of" in warning for warning in prepare(make_spec(), {"HOME": "/root"}).warnings)
