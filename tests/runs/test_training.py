"""What a launch trains, on one process and on two, and what ends it: real training, on few and small feature maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from support import Answer, two_ranks

from gbench.cndb.from_run import record_of
from gbench.cndb.record_file import read_record
from gbench.cndb.verify import verify
from gbench.pix2pix import build_generator
from gbench.runfolder.folder import RunFolder
from shared_runs import OWN_THREADS, REPEATABLE, TWO_RANKS, SharedRun, converged_once, the_run, two_ranks_once

Gbench = Callable[..., Answer]
Shared = Callable[[str], Path]


@pytest.fixture
def two_rank_run(tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]) -> SharedRun:
    return two_ranks_once(tmp_path_factory, small_launch)


def losses(folder: RunFolder, rank: int = 0) -> list[dict[str, float]]:
    return [step.losses for step in folder.steps(rank)]


@two_ranks
def test_two_ranks_train_from_one_cache_and_the_record_says_so(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    arguments = ["--steps", 5, "--warmup", 2, "--data", "cached", "--cache-dir", tmp_path / "cache", "-q"]
    answer = gbench("launch", *TWO_RANKS, *small_launch, *arguments)
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


@two_ranks
@pytest.mark.slow
def test_a_run_can_be_ended_by_its_time(gbench: Gbench, small_launch: list[str]) -> None:
    arguments = ["pix2pix_resnet_6blocks", *TWO_RANKS[1:], *small_launch, "--until-ci", "0.001%", "--max-time", "3s"]
    answer = gbench("launch", *arguments, "--warmup", 1, "--json")  # on a busy machine its steps are few
    assert answer.code == 0, answer.err
    assert answer.json["result"]["complete"] is True
    environment = json.loads((Path(answer.json["paths"]["run"]) / "environment.json").read_text())
    assert environment["planned_steps"] is None
    assert environment["ended"]["because"] == "--max-time of 3 s is up"


@two_ranks
@pytest.mark.slow
def test_an_interval_can_end_a_run_on_all_its_processes(gbench: Gbench, small_launch: list[str]) -> None:
    arguments = ["pix2pix_resnet_6blocks", *TWO_RANKS[1:], *small_launch, "--until-ci", "40%", "--max-time", "10m"]
    answer = gbench("launch", *arguments, "--set", "schedule.print_every=10", "--json")
    assert answer.code == 0, answer.err
    environment = json.loads((Path(answer.json["paths"]["run"]) / "environment.json").read_text())
    assert environment["ended"]["because"] == "--until-ci of 0.4 is reached"
    assert answer.json["result"]["steady_state"] is True
    assert answer.json["result"]["throughput_interval"]["half_width_share"] <= 0.4


@two_ranks
@pytest.mark.slow
def test_two_processes_train_one_model(two_rank_run: SharedRun) -> None:
    answer, folder = two_rank_run.answer, two_rank_run.folder
    assert [step.images for rank in (0, 1) for step in folder.steps(rank)] == [2] * 6
    assert answer.json["result"]["images"] == 8
    assert (answer.json["record"]["dev_num"], answer.json["record"]["dist_type"]) == (2, "DDP")
    assert answer.json["record"]["extra"]["ddp"] is True
    assert answer.json["record"]["extra"]["bucket_views"] is True
    exchange = answer.json["record"]["extra"]["exchange"]
    assert set(exchange["buckets"]) == {"G", "D"} and exchange["all_reduce"][0]["bytes"] == 4
    assert verify(read_record(Path(answer.json["paths"]["record"])), folder).holds
    hyper_params = answer.json["record"]["hyper_params"]
    assert hyper_params["profile"] == "reference" and "speed" not in hyper_params


@two_ranks
@pytest.mark.slow
def test_a_deterministic_run_repeats_its_losses_bitwise(
    gbench: Gbench, small_launch: list[str], two_rank_run: SharedRun, tmp_path: Path
) -> None:
    def run(name: str, *more: object) -> list[dict[str, float]]:
        arguments = [*TWO_RANKS, *small_launch, *REPEATABLE, *more, "--results", tmp_path / name]
        answer = gbench("launch", *arguments, **OWN_THREADS)
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


@two_ranks
@pytest.mark.slow
def test_real_facades_at_64_pixels(gbench: Gbench, shared: Shared, tmp_path: Path) -> None:
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
    answer = gbench("launch", *TWO_RANKS, *arguments, "--steps", 60, "--warmup", 5)
    assert answer.code == 0, answer.err
    l1 = [step["G_L1"] for step in losses(the_run(tmp_path))]
    assert sum(l1[-10:]) < 0.95 * sum(l1[:10])
    assert "verified against nothing" in answer.err


def test_convergence_checkpoints_load_as_upstreams_do(
    tmp_path_factory: pytest.TempPathFactory, small_launch: list[str]
) -> None:
    run = converged_once(tmp_path_factory, small_launch)
    folder = run.folder
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    own = ["epoch-0001.pt", "epoch-0002.pt"]
    assert names == ["best.json", "best_net_G.pth", *own, "latest_net_D.pth", "latest_net_G.pth"]
    weights = torch.load(folder.checkpoints / "latest_net_G.pth", weights_only=True)
    build_generator("resnet_6blocks", ngf=4).load_state_dict(weights)
    whole = torch.load(folder.checkpoints / "epoch-0002.pt", weights_only=True)
    assert (whole["epoch"], whole["step"], len(whole["random_states"])) == (2, 8, 1)
    assert whole["model"]["optimizer_G"]["param_groups"][0]["lr"] < 2e-4
    last = list(folder.steps(0))[4:]
    mean = sum(step.losses["G_L1"] for step in last) / len(last)
    assert yaml.safe_load(run.record.read_text())["metric_data"]["G_L1"] == pytest.approx(mean)
