"""`gbench converge` as a user runs it: output, alarms, ends and totals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image
from support import Answer, two_ranks

from gbench.errors import RunFailed
from gbench.runfolder.alarms import read_alarms
from gbench.runfolder.folder import VISUALS
from gbench.runs import evaluate
from gbench.runs.attempt import OpenRun
from shared_runs import the_run

Gbench = Callable[..., Answer]


@pytest.fixture
def arguments(small_launch: list[str]) -> Callable[..., list[object]]:
    """A convergence run of 4 epochs of 4 steps, with more settings as keywords: section__key."""

    def make(devices: int = 1, **settings: object) -> list[object]:
        schedule = {"schedule__epochs": 2, "schedule__epochs_decay": 2, "schedule__checkpoint_every": 2}
        given = {key.replace("__", "."): value for key, value in {**schedule, **settings}.items()}
        flags = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
        return ["converge", "pix2pix_resnet_6blocks", 4, devices, "FP32", *small_launch, *flags]

    return make


@pytest.mark.slow
def test_a_run_shows_itself_its_alarm_and_what_it_took(
    gbench: Gbench, arguments: Callable[..., list[object]], tmp_path: Path
) -> None:
    collapse = {"alarms__collapse_below": 100, "alarms__collapse_epochs": 2}  # anything is a collapse
    answer = gbench(*arguments(schedule__epochs=6, **collapse), "--visdom", "http://127.0.0.1:9")  # the port of nobody
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    names = {path.name for path in folder.images.iterdir()}
    assert names == {f"epoch{epoch:03d}_{name}.png" for epoch in range(1, 9) for name in VISUALS}
    assert Image.open(folder.image(4, "fake_B")).size == (32, 32)
    assert "aria-label" in (folder.path / "losses.svg").read_text()
    assert "of training for 8 epochs (32 steps), by 20 steps at" in answer.err
    assert answer.err.count("warning: visdom at http://127.0.0.1:9 does not answer") == 1

    result = folder.read("result.json")
    assert result is not None
    job = result["job"]
    step_s = [step.step_s for step in folder.steps(0)]
    assert (job["epochs"], job["attempts"], job["redone_s"]) == (8, 1, 0)
    assert job["training_s"] == pytest.approx(sum(step_s))
    assert job["wall_s"] > job["training_s"]
    assert job["epochs_per_hour"] == pytest.approx(8 / sum(step_s) * 3600)
    assert "whole job     8 epochs in " in answer.out
    (path,) = (tmp_path / "cndb" / "records").iterdir()
    record = yaml.safe_load(path.read_text())
    assert record["perf_data"]["job"] == job
    assert gbench("summary", folder.path, "--json").out == (folder.path / "result.json").read_text()

    (alarm,) = read_alarms(folder.path)
    assert (alarm.kind, alarm.epoch, alarm.step) == ("collapse", 2, 8)
    assert folder.log.read_text().count(f"warning: {alarm}\n") == 1
    assert f"warning: {alarm}" in answer.err
    assert f"WARNING       {alarm}" in answer.out
    assert record["extra"]["warnings"] == [str(alarm)]
    assert str(alarm) in (folder.path / "report.html").read_text()


@two_ranks
@pytest.mark.slow
def test_an_alarm_may_end_the_run_which_can_go_on(
    gbench: Gbench, arguments: Callable[..., list[object]], without_test_split: list[object], tmp_path: Path
) -> None:
    collapse = {"alarms__collapse_below": 100, "alarms__collapse_epochs": 3}
    run = [*arguments(2, schedule__checkpoint_every=3, **collapse), *without_test_split]
    answer = gbench(*run, "--stop-on", "nan,collapse")
    assert answer.code == 1
    folder = the_run(tmp_path)
    (alarm,) = read_alarms(folder.path)
    assert folder.log.read_text().count(f"warning: {alarm}\n") == 1  # by one of the two processes
    (line,) = [line for line in answer.err.splitlines() if line.startswith("gbench: error")]
    resume = f"fix the cause, or go on with gbench converge --resume {folder.path}"
    assert line == f"gbench: error: stopped by --stop-on collapse, {alarm}; its checkpoint is saved; {resume}"
    assert "Traceback" not in answer.err
    assert len(folder.steps(0)) == len(folder.steps(1)) == alarm.step == 12
    assert (folder.checkpoints / "epoch-0003.pt").exists()
    assert not (tmp_path / "cndb" / "records").exists()

    answer = gbench("converge", "--resume", folder.path, "--json")
    assert answer.code == 0, answer.err
    assert read_alarms(folder.path) == [alarm]  # the resumed run does not repeat it
    job = answer.json["result"]["job"]
    assert (job["epochs"], job["attempts"], job["redone_s"]) == (4, 2, 0)
    host = folder.read("host.json")
    assert host is not None
    assert job["wall_s"] == sum(attempt["wall_s"] for attempt in host["attempts"])


@pytest.mark.slow
def test_losses_of_nan_end_a_run_with_its_good_checkpoints(
    gbench: Gbench, arguments: Callable[..., list[object]], tmp_path: Path
) -> None:
    answer = gbench(*arguments(optim__lr=1e30, schedule__checkpoint_every=1), "--stop-on", "any")
    assert answer.code == 1
    folder = the_run(tmp_path)
    (alarm,) = read_alarms(folder.path)
    assert (alarm.kind, alarm.epoch) == ("nan", 1)
    last = answer.err.splitlines()[-1]
    assert f"stopped by --stop-on nan, {alarm}; fix the cause; earlier checkpoints are in" in last
    assert not folder.checkpoints.exists()  # there was no good one
    assert folder.log.read_text().count("NaN or infinite") == 2  # the warning, and the sentence at the end


@pytest.mark.slow
def test_losses_of_nan_fail_a_run_that_reaches_its_end(gbench: Gbench, arguments: Callable[..., list[object]]) -> None:
    answer = gbench(*arguments(optim__lr=1e30))
    assert answer.code == 1
    assert "became NaN or infinite; the run diverged" in answer.err.splitlines()[-1]  # not that it has no checkpoint


@pytest.mark.slow
def test_an_estimate_is_a_short_run_without_a_record(
    gbench: Gbench, arguments: Callable[..., list[object]], tmp_path: Path
) -> None:
    answer = gbench(*arguments(schedule__epochs=100), "--estimate", "--json")
    assert answer.code == 0, answer.err
    folder = the_run(tmp_path)
    assert answer.json["paths"]["run"] == str(folder.path)
    estimate = answer.json["estimate"]
    step_s = [step.step_s for step in folder.steps(0)]
    assert len(step_s) == 25
    assert (estimate["epochs"], estimate["steps"], estimate["measured_steps"]) == (102, 408, 20)
    assert estimate["step_s"] == pytest.approx(sum(step_s[5:]) / 20)
    assert estimate["seconds"] == pytest.approx(408 * estimate["step_s"])
    assert not (tmp_path / "cndb").exists()
    assert not folder.checkpoints.exists()
    assert "no evaluation" not in answer.err
    assert json.loads((folder.path / "host.json").read_text())["exit_code"] == 0


def test_the_timeout_covers_the_evaluation(
    gbench: Gbench, arguments: Callable[..., list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(run: OpenRun, running: object) -> None:
        assert run.spec.recipe == "evaluation"
        assert run.spec.timeout_s == 3600
        assert run.began_s <= the_run(tmp_path).host().attempts[0].started_s
        raise RunFailed("it was evaluated", "so be it")

    monkeypatch.setattr(evaluate, "run_worker", evaluated)
    epochs = {"schedule__epochs": 1, "schedule__epochs_decay": 0, "schedule__checkpoint_every": 1}
    answer = gbench(*arguments(**epochs), "--timeout", "1h")
    assert "it was evaluated; so be it" in answer.err
