"""BASE and NEW given as files, run folders, folders and patterns."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawn_records import record
from gbench.cndb.record_file import save
from gbench.compare.metrics import METRICS
from gbench.compare.sides import BASE_FORMS, FORMS, read_one, read_side, require_distinct
from gbench.errors import GbenchError, UsageError
from gbench.settings.spec import RunSpec
from golden import check_golden
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
    save(record(run_id="yml"), tmp_path / "yml" / "a.yml")
    assert ids(tmp_path / "yml") == ["yml"]
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


@pytest.mark.parametrize("name", ["nothing", "", "*.nothing", "**x"])
def test_a_side_that_is_nowhere_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"BASE .* is no record, run folder"):
        read_side(name, "BASE")


def refused(text: object, folder: Path, read: Callable[..., object] = read_side, forms: str = FORMS) -> str:
    """The sentence about a side, with the class of its error; the temporary folder is TMP."""
    with pytest.raises(GbenchError) as caught:
        read(str(text), "NEW", forms)
    return f"{type(caught.value).__name__}: {caught.value}".replace(str(folder), "TMP") + "\n"


def test_each_side_that_is_refused_has_its_sentence(
    records: Path, make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    said = [refused(records, tmp_path, read_one), refused("nowhere", tmp_path, read_one, BASE_FORMS)]
    said += [refused("x" * 300, tmp_path)]
    (records / "0.yaml").write_text("model: [")
    said += [refused(records, tmp_path)]
    every: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"steps": 30}, {}),  # of 42 steps
        ({"steps": 30}, {"planned_steps": None}),
        ({"steps": 30}, {"ended": {"steps": 41, "because": "the time is over"}}),
        ({}, {"precision_at_end": None}),
        ({"steps": 1}, {}),  # all of it warm-up
    ]
    for number, (changes, facts) in enumerate(every):
        folder = write_run(make_spec(), **{"steps": 42, "planned_steps": 42, **changes})
        folder.write("environment.json", {**(folder.read("environment.json") or {}), **facts})
        said += [refused(folder.path, tmp_path).replace(folder.path.name, f"RUN{number}")]
    resumed = write_run(make_spec(settings=["schedule.checkpoint_every=5"]), steps=30, planned_steps=42)
    said += [refused(resumed.path, tmp_path).replace(resumed.path.name, "RESUMED")]
    check_golden("sides-refused.txt", "".join(said))


def test_what_may_not_be_opened_is_no_wrong_argument(records: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A user who may not even look into the folder; root may."""
    records.chmod(0)
    if os.geteuid() == 0:
        tmp_path.chmod(0o711)
        os.seteuid(65534)
    try:
        said = [refused(path, tmp_path) for path in (records / "1.yaml", records)]
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        records.chmod(0o755)
    assert said == [
        "InfrastructureError: NEW 'TMP/records/1.yaml' can't be read (Permission denied); fix its permissions\n",
        "InfrastructureError: NEW 'TMP/records' can't be read (Permission denied); fix its permissions\n",
    ]


def test_a_run_folder_whose_samples_are_gone_has_no_figures(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec())
    folder.write("result.json", {"throughput_img_s": 1e9})
    assert read_side(str(folder.path), "NEW")[0].record.perf_data["throughput"] < 1e6  # type: ignore[index]
    (folder.path / "steps-rank0.jsonl").unlink()
    with pytest.raises(
        UsageError, match=r"NEW: the raw samples of .* are gone, so its result.json can't be verified; "
    ):
        read_side(str(folder.path), "NEW")


def test_a_run_counts_once(records: Path, tmp_path: Path) -> None:
    base = read_side(str(records), "BASE")
    save(record(run_id="r1"), tmp_path / "copy.yaml")
    with pytest.raises(UsageError, match=r"copy\.yaml is the same run as .*1\.yaml"):
        require_distinct(base, read_side(str(tmp_path / "copy.yaml"), "NEW"))
    require_distinct(base[:1], base[1:])
