"""Run folders, records and a database of an earlier commit (tests/fixtures/run-folders-v1): all of it is still read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.cndb.log_line import format_line, parse
from gbench.cndb.record import checked
from gbench.cndb.record_file import read_record
from gbench.cndb.throughput import kind_of
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.typed_json import VERSION, to_json
from pages import Page

KEPT = Path(__file__).resolve().parents[1] / "fixtures" / "run-folders-v1"
ONE_RANK, TWO_RANKS, CONVERGENCE = (
    "20261129T082525Z-pix2pix_resnet_9blocks-c3e08b",
    "20261129T082503Z-pix2pix_resnet_9blocks-f68435",
    "20261129T090254Z-pix2pix_resnet_9blocks-02c16d",
)
DIVERGED = "20261129T083215Z-pix2pix_resnet_9blocks-40c1c4"
PROFILE, TUNING = "20261129T082542Z-pix2pix_resnet_9blocks-25a169", "20261129T082555Z-tune-81b816"
RECORDED = (ONE_RANK, TWO_RANKS, CONVERGENCE)


def folder(run_id: str) -> RunFolder:
    return RunFolder(KEPT / "results" / run_id)


def record(run_id: str) -> Path:
    (path,) = (KEPT / "records").glob(f"*{run_id}.yaml")
    return path


@pytest.mark.parametrize("run_id", [*RECORDED, DIVERGED, PROFILE, TUNING])
def test_facts_are_written_again_as_they_were(run_id: str) -> None:
    run = folder(run_id)
    for name, facts in (("host.json", run.host()), ("environment.json", run.environment())):
        assert facts.model_extra == {}
        if run.has(name):
            assert to_json({"version": VERSION, **facts.values()}) == (run.path / name).read_text()


@pytest.mark.parametrize("run_id", RECORDED)
def test_the_summary_of_a_kept_run_is_its_result(run_id: str, gbench: Callable[..., Answer]) -> None:
    answer = gbench("summary", folder(run_id).path, "--json")
    assert answer.code == 0, answer.err
    result = folder(run_id).result()
    assert result is not None and answer.json["throughput_img_s"] == pytest.approx(result.throughput_img_s, rel=1e-12)
    assert answer.json.keys() >= (folder(run_id).read("result.json") or {}).keys()


@pytest.mark.parametrize("run_id", [*RECORDED, DIVERGED])
def test_a_kept_run_has_a_page(run_id: str, gbench: Callable[..., Answer], tmp_path: Path) -> None:
    shutil.copytree(folder(run_id).path, tmp_path / run_id)
    answer = gbench("report", tmp_path / run_id, "-o", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    assert "AMD EPYC" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("run_id", RECORDED)
def test_a_kept_record_verifies_against_its_run(run_id: str, gbench: Callable[..., Answer]) -> None:
    answer = gbench("cndb", "verify", record(run_id), "--run", folder(run_id).path, "--json")
    assert answer.code == 0, answer.out + answer.err
    assert answer.json["holds"] is True and answer.json["differences"] == []


def test_a_convergence_run_says_the_published_figure(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    accuracy = "G_GAN = 0.653814  G_L1 = 36.8012  D_real = 0.646608  D_fake = 0.746319"
    assert f"mean losses   {accuracy}; of the last epoch's" in gbench("summary", folder(CONVERGENCE).path).out
    line = format_line(read_record(record(CONVERGENCE)))
    assert f", accuracy:{accuracy}, " in line
    assert (parse(line)["metric_data"], kind_of(checked({"framework": "PyTorch", **parse(line)}, "line"))) == (
        {"accuracy": accuracy},
        "end to end",
    )
    shutil.copytree(folder(CONVERGENCE).path, tmp_path / CONVERGENCE)
    gbench("report", tmp_path / CONVERGENCE, "-o", tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    places = [text.index(one) for one in ("not judged", accuracy, "MAE", "Throughput: 9.229 img/s")]
    assert places == sorted(places)


def test_kept_runs_and_records_compare(gbench: Callable[..., Answer]) -> None:
    allowed = ("--allow", "device_count", "--allow", "distribution")
    answer = gbench("compare", record(ONE_RANK), folder(TWO_RANKS).path, *allowed, "--json")
    assert answer.code in (0, 1, 3), answer.err
    assert answer.json


def test_a_kept_profile_or_tuning_is_no_measurement(gbench: Callable[..., Answer]) -> None:
    for run_id in (PROFILE, TUNING):
        answer = gbench("summary", folder(run_id).path)
        assert answer.code == 1 and "measure with gbench launch" in answer.err


def test_a_kept_database_lists_and_exports(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "cndb").mkdir()
    shutil.copy(KEPT / "cndb.sqlite", tmp_path / "cndb" / "cndb.sqlite")
    listed = gbench("cndb", "list", "--json")
    assert listed.code == 0, listed.err
    assert len(listed.json["entries"] if isinstance(listed.json, dict) else listed.json) == 3
    exported = gbench("cndb", "export", "-o", tmp_path / "records")
    assert exported.code == 0, exported.err
