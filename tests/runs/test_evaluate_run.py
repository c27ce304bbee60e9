"""`gbench eval` and the end of `gbench converge` as a user runs them: real processes, few and small feature maps."""

from __future__ import annotations

import json
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
from support import Answer, two_ranks

from gbench.cndb.from_run import record_of
from gbench.cndb.record import Record
from gbench.runfolder.evaluation_result import read_evaluation, read_final
from gbench.runfolder.folder import RunFolder
from shared_runs import CONVERGENCE, SCHEDULE_FLAGS, SharedRun, converged_once

Gbench = Callable[..., Answer]


@pytest.fixture
def converge(gbench: Gbench, small_launch: list[str]) -> Callable[..., Answer]:
    """A convergence run of two epochs."""

    def run(*more: object) -> Answer:
        return gbench("converge", *CONVERGENCE, *small_launch, *SCHEDULE_FLAGS, *more)

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> SharedRun:
    """A finished convergence run; tests must not write into its folder."""
    return converged_once(tmp_path_factory, small_launch)


@pytest.fixture
def run(finished: SharedRun) -> RunFolder:
    return finished.folder


def begin(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gbench", *map(str, arguments)]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_started(process: subprocess.Popen[str], tmp_path: Path, pattern: str) -> Path:
    """Wait until an evaluation has begun in a folder of this pattern."""
    deadline = time.monotonic() + 180
    while not (found := list(tmp_path.glob(f"{pattern}/host.json"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[0].parent


def test_converge_ends_with_an_evaluation_that_its_record_has(
    finished: SharedRun, run: RunFolder, gbench: Gbench
) -> None:
    answer, path = finished.answer, run.path
    final = path / "evaluations" / "final"
    found = read_final(run)
    assert found is not None
    assert (found.checkpoint.epoch, found.checkpoint.run_id, len(found.images)) == (2, path.name, 4)
    assert len(list((final / "images").iterdir())) == 12
    assert f"gallery       {final / 'gallery.html'}" in answer.out
    assert f"MAE           {found.metrics['MAE'].mean:.4g} (sd " in answer.out

    record = Record(**yaml.safe_load(finished.record.read_text()))
    assert record.metric_data is not None and record.extra is not None
    assert {name: record.metric_data[name] for name in found.metrics} == {
        name: spread.mean for name, spread in found.metrics.items()
    }
    assert set(record.metric_data) == {"G_GAN", "G_L1", "D_real", "D_fake", "all_iterations", "MAE", "PSNR", "SSIM"}
    assert record.extra["evaluation"]["checkpoint_sha256"] == found.checkpoint.sha256
    assert record_of(run) == record
    verified = gbench("cndb", "verify", finished.record, "--run", path)
    assert verified.code == 0, verified.err


@two_ranks
@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(gbench: Gbench, run: RunFolder, tmp_path: Path) -> None:
    answer = gbench("eval", run.path, "--devices", 2, "--out", tmp_path / "on-2", "--json")
    assert answer.code == 0, answer.err
    final, on_two = read_final(run), answer.json["evaluation"]
    assert final is not None and (final.device_count, on_two["device_count"]) == (1, 2)
    assert [image["metrics"] for image in on_two["images"]] == [image.metrics for image in final.images]
    images, expected = (
        {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
        for folder in (tmp_path / "on-2", run.path / "evaluations" / "final")
    )
    assert images == expected


@pytest.mark.slow
def test_run_folder_checkpoint_and_bare_state_dict_are_one(gbench: Gbench, run: RunFolder, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    shutil.copy(run.checkpoints / "epoch-0002.pt", away / "epoch-0002.pt")
    state = torch.load(run.checkpoints / "latest_net_G.pth", weights_only=True)
    old = {f"module.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, away / "latest_net_G.pth", _use_new_zipfile_serialization=False)
    spec = run.spec()
    here = ["--datasets-dir", spec.datasets_dir, "--device", "cpu", "--runner", "local", "--dataset", "synthetic"]
    model = ["--model", spec.model, "--set", "network.ngf=4", "--set", "data.crop_size=32"]

    whole = gbench("eval", away / "epoch-0002.pt", "--json", "-q")
    assert whole.code == 0 and whole.err == "", whole.err
    bare = gbench("eval", away / "latest_net_G.pth", *model, *here, "--json", "-q")
    assert bare.code == 0, bare.err
    final = read_final(run)
    assert final is not None
    for answer in (whole, bare):
        assert answer.json["evaluation"]["images"] == final.model_dump()["images"]
        (folder,) = Path(answer.json["paths"]["gallery"]).parents[:1]
        assert folder.parent == tmp_path / "results" and folder.name.split("-")[1] == "eval"
        assert read_evaluation(RunFolder(folder)) is not None
    assert bare.json["evaluation"]["checkpoint"]["epoch"] is None

    best = gbench("eval", run.path, "--best", "--eval-mode", "--batch", 2, "--limit", 3)
    assert best.code == 0, best.err
    assert "best_net_G.pth, epoch" in best.out and "dropout off, running statistics" in best.out
    assert "evaluated 3 of 3 images" in best.err.splitlines()
    assert len(list((run.path / "evaluations").iterdir())) == 2

    wrong = gbench("eval", away / "latest_net_G.pth", "--model", "pix2pix_resnet_9blocks", *here, "--limit", 1)
    assert wrong.code == 2
    (line,) = [line for line in wrong.err.splitlines() if "error" in line]
    assert f"{away / 'latest_net_G.pth'} does not fit resnet_9blocks: model.1.weight is 4x3x7x7" in line


@pytest.mark.slow
def test_without_a_test_split_the_run_ends_well_and_says_so(
    converge: Callable[..., Answer], without_test_split: list[object]
) -> None:
    answer = converge(*without_test_split, "--json")
    assert answer.code == 0, answer.err
    (warning,) = [text for text in answer.json["record"]["extra"]["warnings"] if "evaluation" in text]
    assert (
        warning == f"no evaluation at the end: the dataset in {without_test_split[-1]} has no phase 'test', only train"
    )
    assert f"warning: {warning}" in answer.err
    assert answer.json["evaluation"] is None and "MAE" not in answer.json["record"]["metric_data"]


@pytest.mark.slow
def test_a_run_killed_in_its_evaluation_is_finished_by_resume(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    process = begin(tmp_path, "converge", *CONVERGENCE, *small_launch, *SCHEDULE_FLAGS)
    final = until_started(process, tmp_path, "results/*/evaluations/final")
    process.kill()
    process.communicate()
    run = RunFolder(final.parent.parent)
    steps = (run.path / "steps-rank0.jsonl").read_bytes()
    assert read_final(run) is None and not (tmp_path / "cndb").exists()
    answer = gbench("converge", "--resume", run.path, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["evaluation"] is not None and "MAE" in answer.json["record"]["metric_data"]
    assert (run.path / "steps-rank0.jsonl").read_bytes() == steps  # nothing was trained again
    done = gbench("converge", "--resume", run.path)
    assert (done.code, "has come to its end" in done.err) == (2, True)

    # killed after its evaluation: what is left is the record, with the training's own facts
    host, record = run.read("host.json"), Path(answer.json["paths"]["record"])
    assert host is not None and "resumed" not in host and host["ended_utc"] is not None
    del host["record"]
    run.write("host.json", host)
    written = record.read_text()
    record.unlink()
    again = gbench("converge", "--resume", run.path, "--json")
    assert again.code == 0, again.err
    assert record.read_text() == written
    assert "evaluating" not in again.err


@two_ranks
@pytest.mark.slow
def test_ctrl_c_leaves_nothing_running(run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = begin(tmp_path, "eval", run.path, "--devices", 2, "--out", out)
    until_started(process, tmp_path, "stopped")
    while not (children := psutil.Process(process.pid).children(recursive=True)):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("gbench: error: stopped by Ctrl-C; ")
    _, alive = psutil.wait_procs(children, timeout=300)
    assert alive == []


def test_a_dry_run_starts_nothing(gbench: Gbench, run: RunFolder, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan = gbench("eval", run.path, "--devices", 2, "--limit", 3, "--dry-run", "--json").json
    assert "-m gbench.pix2pix.start_ranks --nproc-per-node 2 --run-dir" in plan["request"]["environment"]["WORKER"]
    assert plan["spec"]["evaluation"]["checkpoint"] == str(run.checkpoints / "epoch-0002.pt")
    data = plan["spec"]["config"]["data"]
    assert (data["phase"], data["load_size"], data["crop_size"], data["flip"]) == ("test", 32, 32, False)
    assert plan["origins"]["data.max_dataset_size"] == "option" and plan["origins"]["network.ngf"] == "run"
    assert gbench("eval", run.path, "--dry-run").code == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_the_real_facades_at_full_width(gbench: Gbench, shared: Callable[[str], Path], tmp_path: Path) -> None:
    """A generator with random weights, on two real pairs of 256 pixels."""
    from gbench.pix2pix import build_generator

    torch.manual_seed(0)
    torch.save(build_generator("unet_256", ngf=8).state_dict(), tmp_path / "latest_net_G.pth")
    real = ["--datasets-dir", shared("facades50"), "--device", "cpu", "--runner", "local", "--limit", 2]
    arguments = ["--model", "pix2pix_unet_256", "--set", "network.ngf=8", *real, "--json"]
    answer = gbench("eval", tmp_path / "latest_net_G.pth", *arguments)
    assert answer.code == 0, answer.err
    found = answer.json["evaluation"]
    assert [image["source"] for image in found["images"]] == ["test/1.png", "test/10.png"]
    assert 0.2 < found["metrics"]["MAE"]["mean"] < 0.8 and 5 < found["metrics"]["PSNR"]["mean"] < 20
    assert "verified against nothing" in answer.err
    assert json.loads(Path(answer.json["paths"]["evaluation"]).read_text())["data"]["crop_size"] == 256
