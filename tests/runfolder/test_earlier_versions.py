"""What gbench of every earlier version wrote (tests/fixtures/versions): it loads, and is of use as when it was made.

Another format gets a folder of its own there, made by the commit before it: docs/upgrade.md says how.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from support import Answer

from gbench.cndb.database import connect
from gbench.cndb.database_config import embedded
from gbench.cndb.queries import RecordFilter, entries, records
from gbench.cndb.record_file import read_record
from gbench.cndb.upload import Target, read_entry, send, waiting
from gbench.compare.baseline import Baselines
from gbench.convergence.reference import load_reference
from gbench.datasets.hash_cache import HashCache
from gbench.experiments.bisect import answer_of, read_search
from gbench.experiments.calibrate import read_plan
from gbench.experiments.session import read_session
from gbench.experiments.sweep_file import SweepFolder
from gbench.machine.calibration import read_calibration
from gbench.pix2pix.checkpoint import load
from gbench.pix2pix.data.pair_cache import CacheFolder
from gbench.pix2pix.data.pair_file import HEADER_BYTES, map_pairs, why_broken
from gbench.pix2pix.weights import generator_weights
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import read_tuning
from gbench.runs.switch_cache import Remembered

Gbench = Callable[..., Answer]
TESTS = Path(__file__).resolve().parents[1]
VERSIONS = TESTS / "fixtures" / "versions"
EARLIER = TESTS / "fixtures" / "run-folders-v1"


def those_with(pattern: str) -> list[str]:
    """The versions that have such files."""
    return sorted(path.name for path in VERSIONS.iterdir() if any(path.glob(pattern)))


def of(name: str, pattern: str) -> Path:
    """The one such file of a version."""
    (path,) = VERSIONS.joinpath(name).glob(pattern)
    return path


def schema_of(name: str) -> int:
    extra = yaml.safe_load(of(name, "cndb/records/*.yaml").read_text())["extra"]
    return int(extra.get("record_schema", 1))


RUN, RECORD = "results/*/spec.json", "cndb/records/*.yaml"
RECORDED = sorted({*those_with(RUN)} & {*those_with(RECORD)})


def succeeds(answer: Answer, codes: Sequence[int] = (0,)) -> Answer:
    assert answer.code in codes, answer.out + answer.err
    return answer


def test_every_version_of_a_record_is_kept() -> None:
    from gbench.cndb.record import RECORD_SCHEMA

    assert {schema_of(name) for name in RECORDED} >= set(range(1, RECORD_SCHEMA))


@pytest.mark.parametrize("name", RECORDED)
def test_a_run_and_its_record(name: str, gbench: Gbench, tmp_path: Path) -> None:
    """Summarised, verified, compared with itself and an other version's, shown as a page, submitted."""
    run, record = tmp_path / "results" / of(name, RUN).parent.name, tmp_path / "record.yaml"
    shutil.copytree(of(name, RUN).parent, run)
    shutil.copy(of(name, RECORD), record)
    throughput = float(yaml.safe_load(record.read_text())["perf_data"]["throughput"])
    assert succeeds(gbench("summary", run, "--json")).json["throughput_img_s"] == pytest.approx(throughput, rel=1e-3)
    verified = gbench("cndb", "verify", record, "--run", run)
    if name == "first":  # it has no hash, and a figure has another name today
        assert [line.split(":")[0] for line in verified.out.splitlines()[1:-1]] == UNNAMED
    else:
        assert "the record holds" in succeeds(verified).out
    other = EARLIER / "records"
    allowed = [word for field in ALLOWED for word in ("--allow", field)]
    succeeds(gbench("compare", f"{other}/*c3e08b.yaml", run, *allowed), (0, 1, 3))
    succeeds(gbench("report", run, "-o", "page.html"))
    succeeds(gbench("report", record, "-o", "record.html"))
    assert "1 inserted" in succeeds(gbench("cndb", "submit", run, "--cndb-dir", "remade")).out
    for action in ("1 inserted", "1 already there"):
        assert action in succeeds(gbench("cndb", "submit", record)).out
    assert run.name in succeeds(gbench("runs")).out
    assert read_record(record) == next(records(connect(embedded(tmp_path / "cndb")), RecordFilter()))[1]


UNNAMED = ["run   perf_data.step_median_s"]
ALLOWED = ("model", "dataset", "dataset_sha256", "hyper_params", "throughput_of", "image", "machine", "recipe")


@pytest.mark.parametrize("name", those_with("cndb/cndb.sqlite"))
def test_a_database(name: str, tmp_path: Path, gbench: Gbench) -> None:
    """It is read as it is, and brought up to date by the next record."""
    (tmp_path / "cndb").mkdir()
    shutil.copy(of(name, "cndb/cndb.sqlite"), tmp_path / "cndb" / "cndb.sqlite")
    config = embedded(tmp_path / "cndb")
    before = [entry.run_id for entry in entries(connect(config), RecordFilter())]
    assert before == [read_record(of(name, RECORD)).run_id]
    assert "1 already there" in succeeds(gbench("cndb", "submit", of(name, RECORD))).out
    other = next(one for one in RECORDED if one != name)
    assert "1 inserted" in succeeds(gbench("cndb", "submit", of(other, RECORD))).out
    assert len(entries(connect(config), RecordFilter())) == 2
    assert succeeds(gbench("report", "--history")).out == "cndb/history.html\n"


@pytest.mark.parametrize("name", those_with("cndb/spool/*.json"))
def test_a_record_that_waits(name: str, tmp_path: Path) -> None:
    shutil.copytree(VERSIONS / name / "cndb" / "spool", tmp_path / "spool")
    (path,) = waiting(tmp_path)
    entry = read_entry(path)
    assert entry is not None and entry.record == read_record(of(name, RECORD))
    assert send(entry, Target(embedded(tmp_path))) == "record 1 inserted"
    assert not path.exists()


def test_sessions_and_sweeps() -> None:
    session = read_session(of("ab", "results/*/ab.json").parent)
    assert len(session.runs) == 4 and session.blocks == 1
    sweep = SweepFolder(of("sweep", "results/*/sweep.json").parent).read()
    assert [cell.state for cell in sweep.cells] == ["done", "done"]


@pytest.mark.parametrize("name", those_with("results/*/checkpoints/*.pt"))
def test_a_checkpoint(name: str) -> None:
    values = load(of(name, "results/*/checkpoints/epoch-*.pt"))
    assert values["version"] == 1
    assert generator_weights(values, name)


def test_a_search(tmp_path: Path, gbench: Gbench) -> None:
    """Its blocks say what they said; without its repository it can't go on."""
    folder = of("bisect", "results/*/bisect.json").parent
    search = read_search(folder)
    answer = answer_of(search, folder)
    assert (answer.blocks, answer.skipped) == (2, [])
    assert answer.change is not None and answer.change.ratio == pytest.approx(0.95, abs=0.002)
    shutil.copytree(folder, tmp_path / "results" / folder.name)
    refused = succeeds(gbench("bisect", "--resume", f"results/{folder.name}", "--trust", "--max-blocks", 3), (2,))
    assert f"git show failed: fatal: cannot change to '{search.repo}'" in refused.err.splitlines()[-1]


def test_a_calibration() -> None:
    folder = of("calibrate", "results/*/calibrate.json").parent
    plan = read_plan(folder)
    assert (plan.blocks, plan.spec.model) == (1, "pix2pix_resnet_6blocks")
    assert [len(read_session(step).runs) for step in sorted(folder.glob("loss-*"))] == [4, 4, 4, 4]
    found = read_calibration(of("calibrate", "cache/gbench/calibrated/*.json"))
    assert len(found.runs) >= 4 and [round(one.inserted, 2) for one in found.slowed] == [0.01, 0.02, 0.03]
    assert found.run_sd > 0


def test_a_tuning() -> None:
    kept = Remembered.model_validate_json(of("tune", "cache/gbench/tuned/*.json").read_text())
    tuning = read_tuning(RunFolder(of("tune", "results/*/spec.json").parent))
    assert tuning is not None and kept.speed == tuning.speed


def test_a_baseline(tmp_path: Path, gbench: Gbench) -> None:
    shutil.copytree(VERSIONS / "baseline" / "cndb", tmp_path / "cndb")
    pinned = Baselines(tmp_path / "cndb").read("nights")
    record = read_record(of("checkpoint", RECORD))
    assert [run.record for run in pinned.runs("nights")] == [record]
    assert "the first nights" in succeeds(gbench("cndb", "baseline", "show", "nights")).out


def test_a_reference(gbench: Gbench) -> None:
    """The run that it was made from still reproduces it. Those of a few days had no counts, and are refused."""
    run, own = of("checkpoint", RUN).parent, of("reference", "own.yaml")
    assert load_reference(own).runs[0].source == run.name
    judged = ("converge", "--check", run, "--allow", "quality", "--reference")
    assert "reproduced" in succeeds(gbench(*judged, own), (0, 3)).out.lower()
    refused = succeeds(gbench(*judged, of("reference", "without-count.yaml")), (2,))
    assert "G_GAN.count: field required; make it again by gbench converge --add-reference" in refused.err


@pytest.mark.parametrize("name", those_with("cache/gbench/*.pairs"))
def test_decoded_pairs(name: str) -> None:
    path = of(name, "cache/gbench/*.pairs")
    identity = json.loads(path.read_bytes()[:HEADER_BYTES].rstrip(b"\0"))["identity"]
    assert CacheFolder(path.parent, 0).file(identity) == path
    assert why_broken(path, identity) is None
    assert map_pairs(path, identity).shape == (identity["pairs"], 2, 3, 36, 36)


@pytest.mark.parametrize("name", those_with("cache/gbench/hashes/*.json"))
def test_hashes(name: str) -> None:
    content = HashCache.model_validate_json(of(name, "cache/gbench/hashes/*.json").read_text())
    assert content.root == "/srv/gbench/facades" and "train/1.png" in content.files
