"""`gbench launch` as a user runs it: real processes, real training, on few and small feature maps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from support import Answer

from gbench.base.paths import project_file
from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.pix2pix import build_generator
from gbench.runfolder.folder import RunFolder
from shared_runs import SharedRun, run_once

Gbench = Callable[..., Answer]
Shared = Callable[[str], Path]
CROP_128 = ["--set", "data.load_size=136", "--set", "data.crop_size=128"]
TWO_RANKS = ["pix2pix_resnet_9blocks", 4, 2, "FP32"]
REPEATABLE = ["--steps", 3, "--warmup", 1, "--deterministic"]


def the_run(base: Path) -> RunFolder:
    (path,) = (base / "results").iterdir()
    return RunFolder(path)


@pytest.fixture
def two_rank_run(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> SharedRun:
    """A deterministic launch with two ranks."""
    return run_once(tmp_path_factory, "two-ranks", "launch", *TWO_RANKS, *small_launch, *REPEATABLE, "--json")


@pytest.fixture
def quiet_run(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> SharedRun:
    """A launch in BF16 that prints only JSON."""
    run = ["pix2pix_unet_128", 2, 1, "BF16", *small_launch, *CROP_128, "--steps", 3, "--warmup", 1, "--json", "-q"]
    return run_once(tmp_path_factory, "quiet", "launch", *run)


def losses(folder: RunFolder, rank: int = 0) -> list[dict[str, float]]:
    return [step.losses for step in folder.steps(rank)]


def test_one_launch_leaves_a_run_folder_a_log_and_a_record(
    gbench: Gbench, small_launch: list[str], tmp_path: Path, facades: Path
) -> None:
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--steps", 5, "--warmup", 2)
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    (log,) = (tmp_path / "logs").iterdir()
    (record_path,) = (tmp_path / "cndb" / "records").iterdir()
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
    assert record.extra["warnings"] == []
    assert set(record.metric_data or {}) == {"G_GAN", "G_L1", "D_real", "D_fake"}

    names = {path.name for path in folder.path.iterdir()}
    assert not names & {"losses.svg", "images", "alarms.jsonl", "follow.log"}  # what is measured is not watched
    assert result["job"] is None and "about " not in log.read_text()

    assert record_of(folder) == record  # made of the run folder alone, so it can be made again

    # existing parsers of upstream's log and of the benchmark log line find their lines
    assert "(epoch: 1, iters: 4, time: " in log.read_text()
    assert "network:pix2pix-resnet_9blocks, batch size:4, device count:1, dpf mode:Single" in log.read_text()


def test_two_ranks_train_from_one_cache_and_the_record_says_so(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    arguments = ["--steps", 5, "--warmup", 2, "--data", "cached", "--cache-dir", tmp_path / "cache", "-q"]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, 2, "FP32", *small_launch, *arguments)
    assert answer.code == 0, answer.err
    assert "img/s end to end, on pictures decoded before the run" in answer.out
    assert "\ndata          cached\n" in answer.out
    assert "data loading included" not in answer.out
    (path,) = (tmp_path / "cache").glob("*.pairs")
    record = record_of(the_run(tmp_path))
    assert record.hyper_params is not None and record.extra is not None
    assert record.hyper_params["data_source"] == "cached"
    assert record.extra["data"]["cache"]["file"] == path.name
    assert "End to end, on pictures decoded before the run" in (the_run(tmp_path).path / "report.html").read_text()


def test_a_bad_cache_folder_costs_the_cache_and_not_the_run(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    arguments = ["--steps", 5, "--warmup", 2, "--data", "resident", "--cache-dir", tmp_path / "file/cache"]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, *arguments)
    assert answer.code == 0, answer.err
    assert "end to end, data loading included" in answer.out
    record = record_of(the_run(tmp_path))
    assert record.hyper_params is not None and record.extra is not None
    assert record.hyper_params["data_source"] == "real"
    (warning,) = record.extra["warnings"]
    assert warning.startswith(f"--data resident is unavailable: can't write {tmp_path}/file/cache")
    assert f"warning: {warning}" in answer.err


def test_drawn_pictures_called_facades_are_a_warning(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    arguments = ["pix2pix_resnet_6blocks", 2, 1, "FP32", *small_launch, "--dataset", "facades"]
    answer = gbench("launch", *arguments, "--steps", 2, "--warmup", 1, "--json")
    assert answer.code == 0, answer.err
    (warning,) = answer.json["record"]["extra"]["warnings"]
    assert "DATASETS is facades" in warning and "synthetic" in warning
    assert f"warning: {warning}" in answer.err


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


@pytest.mark.slow
def test_a_run_can_be_ended_by_its_time(gbench: Gbench, small_launch: list[str]) -> None:
    arguments = ["pix2pix_resnet_6blocks", 4, 2, "FP32", *small_launch, "--until-ci", "0.001%", "--max-time", "3s"]
    answer = gbench("launch", *arguments, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["result"]["complete"] is True
    environment = json.loads((Path(answer.json["paths"]["run"]) / "environment.json").read_text())
    assert environment["planned_steps"] is None
    assert environment["ended"]["because"] == "--max-time of 3 s is up"


@pytest.mark.slow
def test_an_interval_can_end_a_run_on_all_its_processes(gbench: Gbench, small_launch: list[str]) -> None:
    arguments = ["pix2pix_resnet_6blocks", 4, 2, "FP32", *small_launch, "--until-ci", "40%", "--max-time", "2m"]
    answer = gbench("launch", *arguments, "--set", "schedule.print_every=10", "--json")
    assert answer.code == 0, answer.err
    environment = json.loads((Path(answer.json["paths"]["run"]) / "environment.json").read_text())
    assert environment["ended"]["because"] == "--until-ci of 0.4 is reached"
    assert answer.json["result"]["steady_state"] is True
    assert answer.json["result"]["throughput_interval"]["half_width_share"] <= 0.4


@pytest.mark.slow
def test_two_processes_train_one_model(two_rank_run: SharedRun) -> None:
    answer, folder = two_rank_run.answer, two_rank_run.folder
    assert [step.images for rank in (0, 1) for step in folder.steps(rank)] == [2] * 6
    assert answer.json["result"]["images"] == 8
    assert (answer.json["record"]["dev_num"], answer.json["record"]["dist_type"]) == (2, "DDP")


@pytest.mark.slow
def test_a_deterministic_run_repeats_its_losses_bitwise(
    gbench: Gbench, small_launch: list[str], two_rank_run: SharedRun, tmp_path: Path
) -> None:
    def run(name: str, *more: object) -> list[dict[str, float]]:
        answer = gbench("launch", *TWO_RANKS, *small_launch, *REPEATABLE, *more, "--results", tmp_path / name)
        assert answer.code == 0, answer.err
        (path,) = (tmp_path / name).iterdir()
        return losses(RunFolder(path), 0) + losses(RunFolder(path), 1)

    first = losses(two_rank_run.folder, 0) + losses(two_rank_run.folder, 1)
    assert run("again") == first
    assert run("other", "--seed", 1) != first


@pytest.mark.slow
def test_losses_fall_over_60_steps(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    arguments = ["pix2pix_resnet_6blocks", 4, 1, "FP32", *small_launch, "--set", "network.ngf=8"]
    assert gbench("launch", *arguments, "--steps", 60, "--warmup", 1).code == 0
    l1 = [step["G_L1"] for step in losses(the_run(tmp_path))]
    assert sum(l1[-10:]) < 0.9 * sum(l1[:10])


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_real_facades_at_64_pixels(gbench: Gbench, shared: Shared, tmp_path: Path, devices: int) -> None:
    settings = {
        "data.phase": "test",
        "data.load_size": 72,
        "data.crop_size": 64,
        "data.workers": 0,
        "network.ngf": 8,
        "network.ndf": 8,
    }
    flags = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    arguments = ["--device", "cpu", "--runner", "local", "--datasets-dir", shared("facades50"), *flags]
    answer = gbench("launch", "pix2pix_resnet_9blocks", 4, devices, "FP32", *arguments, "--steps", 60, "--warmup", 5)
    assert answer.code == 0, answer.err
    l1 = [step["G_L1"] for step in losses(the_run(tmp_path))]
    assert sum(l1[-10:]) < 0.95 * sum(l1[:10])
    assert "verified against nothing" in answer.err


def test_convergence_checkpoints_load_as_upstreams_do(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    schedule = {"epochs": 1, "epochs_decay": 1, "checkpoint_every": 1}
    flags = [text for key, value in schedule.items() for text in ("--set", f"schedule.{key}={value}")]
    arguments = ["pix2pix_resnet_6blocks", 4, 1, "FP32", "false", "ignore_check", *small_launch, *flags]
    answer = gbench("launch", *arguments, RUN_MODEL_FILE="./PyTorch/pix2pix/pt-pix2pix-convergency.sh")
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    own = ["epoch-0001.pt", "epoch-0002.pt"]
    assert names == ["best.json", "best_net_G.pth", *own, "latest_net_D.pth", "latest_net_G.pth"]
    weights = torch.load(folder.checkpoints / "latest_net_G.pth", weights_only=True)
    build_generator("resnet_6blocks", ngf=4).load_state_dict(weights)
    whole = torch.load(folder.checkpoints / "epoch-0002.pt", weights_only=True)
    assert (whole["epoch"], whole["step"], len(whole["random_states"])) == (2, 8, 1)
    assert whole["model"]["optimizer_G"]["param_groups"][0]["lr"] < 2e-4
    (record,) = (tmp_path / "cndb" / "records").iterdir()
    last = list(folder.steps(0))[4:]
    mean = sum(step.losses["G_L1"] for step in last) / len(last)
    assert yaml.safe_load(record.read_text())["metric_data"]["G_L1"] == pytest.approx(mean)


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
    answer = gbench("launch", "pix2pix_resnet_9blocks", 8, 2, "FP32", *arguments)
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


def started(small_launch: list[str], folder: Path, until: str) -> subprocess.Popen[str]:
    """A long run on two processes that has printed a line that starts with `until`."""
    command = [sys.executable, "-m", "gbench", "launch", "pix2pix_resnet_9blocks", "4", "2", "FP32", *small_launch]
    process = subprocess.Popen(
        [*command, "--steps", "100000"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(until):
            break
    return process


@pytest.mark.slow
def test_ctrl_c_keeps_the_samples_and_leaves_nothing_running(small_launch: list[str], tmp_path: Path) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 3")  # 4 steps an epoch: 10 are warm-up
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "gbench: error: stopped by Ctrl-C; what the run had written is kept"
    assert out == ""
    folder = the_run(tmp_path)
    result = folder.read("result.json")
    assert result is None or result["complete"] is False
    assert len(list(folder.steps(0))) >= 8
    assert not (tmp_path / "cndb").exists()
    assert not _mentions(folder.path)


@pytest.mark.slow
def test_a_rank_that_is_killed_is_told_of(small_launch: list[str], tmp_path: Path) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 3")
    folder = the_run(tmp_path)
    ranks = [found for found in psutil.process_iter(["cmdline"]) if _is_rank(found, folder.path)]
    assert len(ranks) == 2
    ranks[1].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith("gbench: error: a process of the run was killed (SIGKILL): perhaps for lack of memory")
    assert "Traceback" not in err
    assert not (folder.path / "error.json").exists()
    assert not _mentions(folder.path)


def _is_rank(process: psutil.Process, run_dir: Path) -> bool:
    command = process.info["cmdline"] or []
    return "gbench.pix2pix" in command and str(run_dir) in command and "torch.distributed.run" not in command


@pytest.mark.slow
def test_a_run_whose_gbench_was_killed_still_yields_statistics(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 6")
    process.kill()
    process.wait()
    folder = the_run(tmp_path)
    deadline = time.monotonic() + 60
    while _mentions(folder.path):
        assert time.monotonic() < deadline, "its processes are still there"
        time.sleep(0.1)
    assert folder.read("result.json") is None
    summary = gbench("summary", folder.path, "--json")
    assert summary.code == 0, summary.err
    assert summary.json["complete"] is False
    assert summary.json["steps"] >= 10
    assert summary.json["limits"]["flop_per_image"] > 0
    assert len(summary.json["memory"]) == 2
    assert "INCOMPLETE" in gbench("summary", folder.path).out


def _mentions(path: Path) -> list[str]:
    """Command lines of running processes that name the path."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return [line for line in found if str(path) in line]


@pytest.mark.slow
def test_two_runs_at_once_do_not_meet(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gbench", "launch", "pix2pix_resnet_9blocks", "4", "1", "FP32", *small_launch]
    runs = [
        subprocess.Popen([*command, "--steps", "4", "--warmup", "1", "-q"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]
    for folder in ("results", "logs", "cndb/records"):
        assert len(list((tmp_path / folder).iterdir())) == 2


def test_launch_sh_takes_the_old_command_line(facades: Path, tmp_path: Path) -> None:
    command = ["bash", str(project_file("scripts/launch.sh")), "pix2pix_resnet_9blocks", "32", "8", "FP32"]
    variables = {"DATASETS_DIR": str(facades), "CODE_LINK": "https://example.org/blob/0123abc/networks.py"}
    done = subprocess.run(
        [*command, "false", "false", "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"{facades}  (variable DATASETS_DIR)" in done.stdout
    assert "https://example.org/blob/0123abc/networks.py  (variable CODE_LINK)" in done.stdout
    assert '"BATCH_SIZE": "32"' in done.stdout


def test_a_dry_run_shows_the_exact_command_and_starts_nothing(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    before = set(tmp_path.iterdir())
    arguments = ["pix2pix_resnet_9blocks", 4, 2, "FP32", *small_launch, "--dry-run", "--json"]
    plan = gbench("launch", *arguments).json
    assert plan["request"]["argv"] == ["bash", str(project_file("scripts/pt-pix2pix.sh"))]
    assert "--nproc-per-node 2 -m gbench.pix2pix --run-dir" in plan["request"]["environment"]["TORCHRUN"]
    assert plan["spec"]["config"]["network"]["ngf"] == 4
    assert plan["origins"]["network.ngf"] == "option"
    assert set(tmp_path.iterdir()) == before


def test_a_dry_run_of_several_runs_says_how_many(gbench: Gbench, small_launch: list[str]) -> None:
    run = ["launch", "pix2pix_resnet_6blocks", 4, 1, "FP32", *small_launch, "--seed", "7", "--dry-run"]
    assert gbench(*run, "--json", "--repeats", 3).json["seeds"] == [7, 7, 7]
    assert gbench(*run, "--repeats", 2).out.startswith("# 2 runs, one after the other, with seeds 7, 7; the first:")
    assert "seeds" not in gbench(*run, "--json").json
