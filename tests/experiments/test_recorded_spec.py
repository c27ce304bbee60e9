"""What can be rerun: records with their spec, and run folders; and the errors for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from drawn_records import PLAIN, of_run
from gbench.cndb.from_run import OF_ONE_RUN, record_of
from gbench.cndb.record_file import save
from gbench.errors import InfrastructureError, UsageError
from gbench.experiments.recorded_spec import read_recorded
from gbench.measure.summary import summarize_folder
from gbench.settings.spec import RunSpec
from run_folders import write_run


@pytest.fixture
def record_file(make_spec: Callable[..., RunSpec], tmp_path: Path) -> tuple[RunSpec, Path]:
    """A run's spec, and its record."""
    spec = make_spec(steps=12, env={"OMP_NUM_THREADS": "1"}, settings=("optim.lr=1e-4",), seed=3, database="gpu-demo")
    folder = write_run(spec)
    summary = summarize_folder(folder)
    assert summary is not None
    save(record_of(folder, summary), tmp_path / "record.yaml")
    return spec, tmp_path / "record.yaml"


def test_a_record_file_holds_the_spec_but_what_is_of_one_run(record_file: tuple[RunSpec, Path]) -> None:
    spec, path = record_file
    again = read_recorded(str(path))
    nothing = {name: getattr(again.spec, name) for name in OF_ONE_RUN}
    assert again.spec == spec.model_copy(update=nothing)
    assert set(nothing.values()) == {"", None, False, 600.0, 30.0}  # the defaults of --rdzv-timeout and --db-timeout
    assert again.folder is None
    assert again.extra("env") == {"OMP_NUM_THREADS": "1"}
    assert again.extra("spec", "config", "optim", "lr") == 1e-4


def test_a_run_folder_says_all_itself(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec(steps=12))
    again = read_recorded(str(folder.path))
    assert again.spec == folder.spec()
    assert again.folder == folder


def test_a_run_folder_whose_spec_is_broken(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec(steps=12))
    for broken in ('{"spec_version": 1', (folder.path / "spec.json").read_text().replace('"FP32"', '"FP8"')):
        (folder.path / "spec.json").write_text(broken)
        with pytest.raises(InfrastructureError, match=r"that this gbench reads \((invalid JSON|precision): ") as caught:
            read_recorded(str(folder.path))
        assert len(str(caught.value)) < 400


def test_what_was_no_launch_is_none_to_be_run_again(make_spec: Callable[..., RunSpec]) -> None:
    profile = make_spec(steps=12).model_copy(update={"recipe": "profile"})
    with pytest.raises(UsageError, match="its recipe is profile"):
        read_recorded(str(write_run(profile).path))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, ["another tool wrote it", "seed, run script", "gbench launch MODEL 32 2 FP32"]),
        (
            {"extra": {"run_id": "R1", "command_line": "gbench launch m 32 2 FP32"}},
            ["an earlier gbench wrote it", "folder of run R1", "by hand: gbench launch m 32 2 FP32"],
        ),
        ({"extra": {"run_id": "R1", "spec": [1]}}, ["extra.spec is no mapping"]),
        ({"extra": {"run_id": "R1", "spec": {"model": "m"}}}, ["not a spec that this gbench reads"]),
    ],
)
def test_a_record_that_can_not_be_run_again(tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    path = tmp_path / "record.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}))
    with pytest.raises(UsageError) as caught:
        read_recorded(str(path))
    assert all(part in str(caught.value) for part in [str(path), *parts]), caught.value


def test_one_run_is_asked_for(tmp_path: Path) -> None:
    for name in ("R1", "R2"):
        save(of_run(name), tmp_path / f"{name}.yaml")
    with pytest.raises(UsageError, match="names 2 runs"):
        read_recorded(str(tmp_path))
    for nothing in (str(tmp_path / "none.yaml"), "", "last:5", "x" * 300):
        with pytest.raises(UsageError, match=r"RECORD .*; give one record file or run folder; `gbench cndb export`"):
            read_recorded(nothing)


def test_an_original_record_of_the_shared_ones(shared: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="can't be run again: another tool wrote it"):
        read_recorded(str(shared("cndb-legacy") / "pix2pix_v100_8.yaml"))
