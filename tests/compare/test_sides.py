"""BASE and NEW given as files, run folders, folders and patterns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_records import record
from gbench.cndb.record_file import save
from gbench.compare.metrics import METRICS
from gbench.compare.sides import read_side, require_distinct
from gbench.errors import UsageError
from gbench.settings.spec import RunSpec
from run_folders import write_run


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Three record files in their own folder."""
    for number in range(3):
        save(record(run_id=f"r{number}"), tmp_path / "records" / f"{number}.yaml")
    return tmp_path / "records"


def ids(text: object) -> list[str | None]:
    return [run.record.run_id for run in read_side(str(text), "BASE")]


def test_records_are_named_by_file_folder_pattern_and_list(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(records / "1.yaml") == ["r1"]
    assert ids(records) == ["r0", "r1", "r2"]
    assert ids(records / "[02].yaml") == ["r0", "r2"]
    assert ids(f"{records / '2.yaml'},{records / '0.yaml'}") == ["r2", "r0"]
    monkeypatch.chdir(tmp_path)
    assert ids("records/*.yaml") == ["r0", "r1", "r2"]
    save(record(run_id="comma"), tmp_path / "a,b.yaml")
    assert ids("a,b.yaml") == ["comma"]
    assert ids(",".join(["a,b.yaml", *["records/1.yaml"] * 30][1:])) == ["r1"] * 30  # longer than a file's name may be


def test_a_run_folder_is_read_from_its_raw_samples(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    folder = write_run(make_spec(), steps=42, planned_steps=42)
    assert not (folder.path / "result.json").exists()
    environment = folder.read("environment.json")
    assert environment is not None
    environment["hardware"]["kernel"] = "6.1.0-drawn"
    folder.write("environment.json", environment)
    (run,) = read_side(str(folder.path), "NEW")
    assert (run.record.extra or {})["kernel"] == "6.1.0-drawn"
    readings = {metric.name: metric.read(run.record) for metric in METRICS}
    throughput, latency = readings["throughput"], readings["latency-p95"]
    assert throughput is not None and latency is not None
    assert throughput.value == pytest.approx(40.0)
    assert latency.value == pytest.approx(0.1)
    assert readings["energy"] is readings["loss-l1"] is None
    assert [run.source for run in read_side(str(tmp_path / "results"), "NEW")] == [str(folder.path)]


def test_reconstruction_loss_counts_in_convergence_runs_only() -> None:
    loss = METRICS[-1]
    losses = {"G_GAN": 1.0, "G_L1": 20.0}
    assert loss.read(record(metric_data=losses)) is None
    found = loss.read(record(metric_data=losses, extra={"recipe": "convergence"}))
    assert found is not None and found.value == 20.0


@pytest.mark.parametrize("figure", ["N/A", 0, -1.0, None, True])
def test_what_is_no_positive_number_is_no_figure(figure: object) -> None:
    assert METRICS[0].read(record(perf_data={"throughput": figure, "mean": 1.0})) is None


@pytest.mark.parametrize("name", ["nothing", "", "*.nothing", "**x"])
def test_a_side_that_is_nowhere_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"BASE .* is no record, run folder"):
        read_side(name, "BASE")


def test_no_record_or_half_a_run_is_a_usage_error(records: Path, make_spec: Callable[..., RunSpec]) -> None:
    (records / "0.yaml").write_text("model: [")
    with pytest.raises(UsageError, match=r"BASE: .*0\.yaml line 2 is not plain YAML"):
        read_side(str(records), "BASE")
    killed = write_run(make_spec(), steps=30, planned_steps=42)
    with pytest.raises(UsageError, match="did not come to its end"):
        read_side(str(killed.path), "NEW")


def test_a_run_folder_whose_samples_are_gone_has_no_figures(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec())
    folder.write("result.json", {"throughput_img_s": 1e9})
    assert read_side(str(folder.path), "NEW")[0].record.perf_data["throughput"] < 1e6  # type: ignore[index]
    (folder.path / "steps-rank0.jsonl").unlink()
    with pytest.raises(UsageError, match=r"NEW: the raw samples of .* are gone, .*; give its record"):
        read_side(str(folder.path), "NEW")


def test_a_run_counts_once(records: Path, tmp_path: Path) -> None:
    base = read_side(str(records), "BASE")
    save(record(run_id="r1"), tmp_path / "copy.yaml")
    with pytest.raises(UsageError, match=r"copy\.yaml is the same run as .*1\.yaml"):
        require_distinct(base, read_side(str(tmp_path / "copy.yaml"), "NEW"))
    require_distinct(base[:1], base[1:])
