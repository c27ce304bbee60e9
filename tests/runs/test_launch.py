"""`gbench launch` as a user runs it, and what it leaves: real processes, few and small feature maps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import yaml
from support import Answer

from gbench.base.paths import project_file
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.datasets.hash_cache import HowHashed
from shared_runs import SharedRun, launched_once, run_once, the_run

Gbench = Callable[..., Answer]
CROP_128 = ["--set", "data.load_size=136", "--set", "data.crop_size=128"]


@pytest.fixture
def quiet_run(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> SharedRun:
    """A launch in BF16 that prints only JSON."""
    run = ["pix2pix_unet_128", 2, 1, "BF16", *small_launch, *CROP_128, "--steps", 3, "--warmup", 1, "--json", "-q"]
    return run_once(tmp_path_factory, "quiet", "launch", *run)


def test_one_launch_leaves_a_run_folder_a_log_and_a_record(
    tmp_path_factory: pytest.TempPathFactory, small_launch: list[str], facades: Path
) -> None:
    launched = launched_once(tmp_path_factory, small_launch)
    answer, folder, record_path = launched.answer, launched.folder, launched.record
    (log,) = (launched.base / "logs").iterdir()
    for path in (folder.path, log, record_path, folder.path / "report.html"):
        assert path.exists()
        assert str(path) in answer.out
    assert log.read_text() == folder.log.read_text()

    steps = list(folder.steps(0))
    assert [(step.step, step.warmup, step.images) for step in steps] == [(n, n <= 2, 4) for n in range(1, 6)]
    measured = steps[2:]
    result = folder.read("result.json")
    assert result is not None and result["complete"] is True
    assert result["throughput_img_s"] == pytest.approx(12 / sum(step.step_s for step in measured))

    record = Record(**yaml.safe_load(record_path.read_text()))
    assert record.perf_data is not None and record.extra is not None
    assert record.perf_data["throughput"] == result["throughput_img_s"]
    assert (record.model, record.batch_size, record.dev_num) == ("pix2pix-resnet_9blocks", 4, 1)
    assert (record.train_type, record.dist_type, record.dataset) == ("FP32", "Single", "synthetic")
    manifest = json.loads((facades / "manifest.json").read_text())
    assert record.extra["dataset_sha256"] == manifest["dataset_sha256"]
    assert record.extra["dataset_source"] == manifest["source"]
    assert record.extra["dataset_hashing"] in get_args(HowHashed)
    assert record.extra["warnings"] == []
    assert record.extra["ddp"] is False and "bucket_views" not in record.extra
    assert record.extra["malloc"] == {"mmap_threshold": 1 << 30, "trim_threshold": -1}
    assert set(record.metric_data or {}) == {"G_GAN", "G_L1", "D_real", "D_fake"}

    names = {path.name for path in folder.path.iterdir()}
    assert not names & {"losses.svg", "images", "alarms.jsonl", "follow.log"}  # what is measured is not watched
    assert result["job"] is None and "about " not in log.read_text()

    assert record_of(folder) == record  # made of the run folder alone, so it can be made again

    # existing parsers of upstream's log and of the benchmark log line find their lines
    assert "(epoch: 1, iters: 4, time: " in log.read_text()
    assert "network:pix2pix-resnet_9blocks, batch size:4, device count:1, dpf mode:Single" in log.read_text()


def test_a_bad_cache_and_drawn_pictures_are_warnings(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["--steps", 3, "--warmup", 1, "--data", "resident", "--cache-dir", tmp_path / "file/cache"]
    run = ["pix2pix_resnet_6blocks", 4, 1, "FP32", *small_launch, "--dataset", "facades", *arguments]
    answer = gbench("launch", *run)
    assert answer.code == 0, answer.err
    assert "end to end, data loading included" in answer.out
    record = record_of(the_run(tmp_path))
    assert record.hyper_params is not None and record.extra is not None
    assert record.hyper_params["data_source"] == "real"
    warnings = sorted(record.extra["warnings"])
    assert len(warnings) == 2
    assert warnings[0].startswith(f"--data resident is unavailable: can't write {tmp_path}/file/cache")
    assert "DATASETS is 'facades'" in warnings[1] and "synthetic" in warnings[1]
    assert all(f"warning: {warning}" in answer.err for warning in warnings)


def test_summary_recomputes_result_json_byte_for_byte(gbench: Gbench, quiet_run: SharedRun) -> None:
    folder = quiet_run.folder
    assert gbench("summary", folder.path, "--json").out == (folder.path / "result.json").read_text()


def test_json_is_one_object_on_stdout(quiet_run: SharedRun) -> None:
    answer = quiet_run.answer
    assert answer.json["record"]["train_type"] == "BF16"
    assert Path(answer.json["paths"]["record"]).is_file()
    assert answer.err == ""


@pytest.mark.slow
def test_repeats_are_separate_runs_with_their_variance(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    arguments = ["pix2pix_resnet_6blocks", 2, 1, "FP32", *small_launch, "--steps", 4, "--warmup", 1, "--repeats", 2]
    answer = gbench("launch", *arguments, "--json")
    assert answer.code == 0, answer.err
    assert len({run["paths"]["run"] for run in answer.json["runs"]}) == 2
    assert answer.json["repeats"]["runs"] == 2
    assert answer.json["repeats"]["between_variance"] >= 0
    assert len(list((tmp_path / "cndb" / "records").iterdir())) == 2


def test_a_users_own_run_script_reports_by_its_benchmark_line(gbench: Gbench, facades: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.sh"
    script.write_text(
        'echo "training $MODEL on $DATA_DIR"\n'
        'echo "network:mine, batch size:$BATCH_SIZE, device count:$DEVICE_COUNT, dpf mode:DP, precision:$PRECISION, '
        'throughput:12.5 img/s, device:Card X, dataset:$DATASETS" >> "$BENCHMARK_LOG"\n'
    )
    arguments = [
        "--device",
        "cpu",
        "--runner",
        "local",
        "--datasets-dir",
        facades,
        "--run-model-file",
        script,
        "--json",
    ]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 8, 2, "FP32", "false", "ignore_check", *arguments)
    assert answer.code == 0, answer.err
    record = answer.json["record"]
    assert record["perf_data"] == {"throughput": 12.5, "throughput_unit": "img/s"}
    assert (record["model"], record["batch_size"], record["dev_num"], record["dev"]) == ("mine", 8, 2, "Card X")
    assert record["extra"]["recipe"] == "custom"


def test_a_script_that_fails_or_says_nothing_makes_no_record(gbench: Gbench, facades: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.sh"
    arguments = ["--device", "cpu", "--runner", "local", "--datasets-dir", facades, "--run-model-file", script]
    for text, sentence in (("exit 9", "exit code 9"), ("true", "neither measured steps nor a benchmark log line")):
        script.write_text(text)
        answer = gbench("launch", "pix2pix_resnet_9blocks", 8, 1, "FP32", *arguments)
        assert answer.code == 1
        assert sentence in answer.err.splitlines()[-1]
    assert not (tmp_path / "cndb").exists()


def test_a_broken_image_is_one_sentence_and_no_traceback(
    gbench: Gbench, small_launch: list[str], facades: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(facades, broken)
    (broken / "manifest.json").unlink()
    for path in (broken / "train").iterdir():
        path.write_bytes(b"not an image")
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--datasets-dir", broken)
    assert answer.code == 4
    assert answer.err.splitlines()[-1].startswith("gbench: error: ")
    assert "can't be decoded" in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err


def test_a_changed_dataset_is_not_measured(
    gbench: Gbench, small_launch: list[str], facades: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(facades, changed)
    first = sorted((changed / "train").iterdir())[0]
    first.write_bytes(first.read_bytes() + b"x")
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--datasets-dir", changed)
    assert answer.code == 4
    assert f"changed: train/{first.name}" in answer.err
    assert not (tmp_path / "results").exists()


def test_a_dry_run_shows_the_exact_command_and_starts_nothing(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    arguments = ["pix2pix_resnet_9blocks", 4, 2, "FP32", *small_launch, "--dry-run", "--json"]
    plan = gbench("launch", *arguments).json
    assert plan["request"]["argv"] == ["bash", str(project_file("scripts/pt-pix2pix.sh"))]
    assert "-m gbench.pix2pix.start_ranks --nproc-per-node 2 --run-dir" in plan["request"]["environment"]["WORKER"]
    assert plan["spec"]["config"]["network"]["ngf"] == 4
    assert plan["origins"]["network.ngf"] == "option"
    assert set(tmp_path.iterdir()) == before


def test_a_dry_run_of_several_runs_says_how_many(gbench: Gbench, small_launch: list[str]) -> None:
    run = ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *small_launch, "--seed", "7", "--dry-run"]
    assert gbench(*run, "--json", "--repeats", 3).json["seeds"] == [7, 7, 7]
    assert gbench(*run, "--repeats", 2).out.startswith("# 2 runs, one after the other, with seeds 7, 7; the first:")
    assert "seeds" not in gbench(*run, "--json").json
