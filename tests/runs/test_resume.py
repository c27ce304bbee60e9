"""Runs that are killed, stopped, or interrupted in the middle of a write, and resume from their last checkpoint."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from support import Answer

from gbench.measure.summary import summarize_folder
from gbench.runfolder.folder import RunFolder
from shared_runs import the_run

Gbench = Callable[..., Answer]
KILLS = int(os.environ.get("GBENCH_TEST_KILLS", "3"))  # ten, to show it; fewer, to test it
EPOCHS = 14


@pytest.fixture
def arguments(small_launch: list[str], without_test_split: list[object]) -> list[object]:
    """A convergence run of 14 epochs of 4 steps, a checkpoint after each, bitwise repeatable, without an evaluation."""
    schedule = {"epochs": EPOCHS // 2, "epochs_decay": EPOCHS // 2, "checkpoint_every": 1, "print_every": 2}
    settings = [part for key, value in schedule.items() for part in ("--set", f"schedule.{key}={value}")]
    where = [*small_launch, *without_test_split]
    return ["converge", "pix2pix_resnet_6blocks", 4, 1, "FP32", *where, *settings, "--deterministic", "--json"]


def begin(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gbench", *map(str, arguments)]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_step(process: subprocess.Popen[str], tmp_path: Path, step: int) -> None:
    """Wait until the run has written a step."""
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob("results/*/steps-rank0.jsonl")) or len(the_run(tmp_path).steps(0)) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    nets = {name: torch.load(folder.checkpoints / f"latest_net_{name}.pth", weights_only=True) for name in "GD"}
    return {f"{net}.{key}": value for net, state in nets.items() for key, value in state.items()}


@pytest.mark.slow
def test_a_run_killed_at_random_reaches_the_same_weights(
    gbench: Gbench, arguments: list[object], tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    process = begin(tmp_path / "whole", *arguments)
    until_step(process, tmp_path / "whole", 1)
    whole = the_run(tmp_path / "whole")
    busy = gbench("converge", "--resume", whole.path)
    assert (busy.code, "is in use by another process" in busy.err) == (4, True)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out)["paths"]["run"] == str(whole.path)
    done = gbench("converge", "--resume", whole.path)
    assert (done.code, "has come to its end" in done.err) == (2, True)

    killed = tmp_path / "killed"
    killed.mkdir()
    moments = random.Random(KILLS)
    process = begin(killed, *arguments)
    for step in sorted(moments.randrange(1, 4 * EPOCHS - 8) for _ in range(KILLS)):
        until_step(process, killed, step)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.communicate()
        process = begin(killed, "converge", "--resume", the_run(killed).path, "--json")
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    folder = the_run(killed)

    expected, found = weights(whole), weights(folder)
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert [step.losses for step in folder.steps(0)] == [step.losses for step in whole.steps(0)]
    result = folder.read("result.json")
    assert result is not None and result["complete"] is True
    job = result["job"]
    assert job["epochs"] == EPOCHS
    assert 2 <= job["attempts"] <= KILLS + 1
    assert job["redone_s"] == pytest.approx(job["training_s"] - sum(one.step_s for one in folder.steps(0)), abs=1e-6)
    assert job["training_s"] == pytest.approx(sum(one.step_s for part in folder.attempts(0) for one in part.steps))
    host = folder.read("host.json")
    assert host is not None and job["wall_s"] == pytest.approx(sum(one["wall_s"] for one in host["attempts"]))
    assert gbench("summary", folder.path, "--json").out == (folder.path / "result.json").read_text()
    record = yaml.safe_load(Path(json.loads(out)["paths"]["record"]).read_text())
    assert 1 <= len(record["extra"]["resumed_utc"]) <= KILLS  # a kill may come before the run has noted its resumption
    assert record["metric_data"] == json.loads(out)["record"]["metric_data"]
    assert len(list(folder.checkpoints.glob("epoch-*.pt"))) == 3
    assert json.loads((folder.checkpoints / "best.json").read_text())["epoch"] <= EPOCHS


@pytest.mark.slow
def test_requests_to_stop_save_and_the_run_goes_on_from_there(arguments: list[object], tmp_path: Path) -> None:
    # No checkpoint falls due by itself. A request is seen at the next reading, of which the third is after 111 steps.
    epochs, longer = 60, {"checkpoint_every": 1000, "images_every": 0, "epochs": 30, "epochs_decay": 30}
    settings = [part for key, value in longer.items() for part in ("--set", f"schedule.{key}={value}")]
    process, step = begin(tmp_path, *arguments, *settings, "--set", "data.workers=1"), 0
    for number in (signal.SIGTERM, signal.SIGUSR1):
        until_step(process, tmp_path, step + 1)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        folder = the_run(tmp_path)
        before, step = step, torch.load(max(folder.checkpoints.glob("epoch-*.pt")), weights_only=True)["step"]
        assert before < step == len(folder.steps(0)) < 4 * epochs
        assert f"stopped by SIGTERM after step {step}; its checkpoint is saved" in folder.log.read_text()
        partial = summarize_folder(folder)
        assert partial is not None and partial.complete is False
        process = begin(tmp_path, "converge", "--resume", folder.path, "--json")

    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    steps = folder.steps(0)
    assert [one.step for one in steps] == list(range(1, 4 * epochs + 1))
    assert [one.epoch for one in steps] == [1 + n // 4 for n in range(4 * epochs)]


def test_what_cant_be_resumed_says_why(gbench: Gbench, tmp_path: Path) -> None:
    none = gbench("converge", "--resume", tmp_path)
    assert (none.code, "has no spec.json" in none.err) == (4, True)
    both = gbench("converge", "pix2pix_resnet_6blocks", "--resume", tmp_path)
    assert (both.code, "leave out MODEL" in both.err) == (2, True)
