"""Results of a tuning, cached and applied to runs with profile optimized."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Answer

from gbench.cli.shared.output import Terminal
from gbench.errors import InfrastructureError, RunFailed, UsageError
from gbench.machine.gpus import Gpu, Gpus
from gbench.measure.summary import summarize_folder
from gbench.reports.run_data import RunData
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import DatasetFacts
from gbench.runfolder.tuning_result import NAME, Arm, Trial, Tuning, read_tuning
from gbench.runs.prepare import Prepared, make_runner, plan
from gbench.runs.switch_cache import key_of, place_of, remember, with_tuned_switches
from gbench.runs.tune import tune
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec, TuningConfig
from shared_runs import launched_once

MakeSpec = Callable[..., RunSpec]
UTC = "2026-01-01T00:00:00.000+00:00"
SWITCHES = SpeedConfig(channels_last=True, adam="fused")


def found(speed: SpeedConfig = SWITCHES, torch_version: str = torch.__version__) -> Tuning:
    arms = [Arm(switches=on, step_s=1.0, setup_s=0.0, memory_bytes=1) for on in ({}, speed.on)]
    overall = Trial(
        change=speed.on, kept=True, why="kept", ratio=1.25, low=1.2, high=1.3, base=arms[0], changed=arms[1]
    )
    return Tuning(
        device="CPU",
        device_count=1,
        batch_size_per_device=4,
        precision="FP32",
        torch_version=torch_version,
        threads=1,
        trials=[],
        overall=overall if speed.on else None,
        speed=speed,
        wall_s=1.0,
    )


def test_only_profile_optimized_uses_remembered_switches(make_spec: MakeSpec) -> None:
    remember(make_spec(seed=7), Gpus(), found(), UTC)
    optimized = with_tuned_switches(make_spec(profile="optimized", steps=9), Gpus())
    assert optimized.config.speed == SWITCHES
    assert optimized.tuned_by is not None and optimized.tuned_by.ratio == 1.25
    assert with_tuned_switches(optimized, Gpus()) == optimized  # a run that is resumed keeps what it had
    assert with_tuned_switches(make_spec(), Gpus()).config.speed == SpeedConfig()


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 2},
        {"precision": "BF16"},
        {"device_count": 2, "batch_size": 8},
        {"deterministic": True},
        {"settings": ("network.ngf=8",)},
        {"settings": ("data.crop_size=36",)},
        {"runner": "docker"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_another_run_has_none(make_spec: MakeSpec, changes: dict[str, Any]) -> None:
    remember(make_spec(), Gpus(), found(), UTC)
    with pytest.raises(UsageError, match=r"no tuning is remembered .* run `gbench tune pix2pix_resnet_9blocks "):
        with_tuned_switches(make_spec(profile="optimized", **changes), Gpus())


def test_a_tuning_holds_for_one_kind_of_gpu_and_one_base_image(make_spec: MakeSpec) -> None:
    cards = [Gpus((Gpu(0, name, f"GPU-{name}", (8, 0)),), "570") for name in ("A", "B")]
    spec = make_spec(device="cuda", runner="docker", profile="optimized")
    remember(spec, cards[0], found(), UTC)
    assert with_tuned_switches(spec, cards[0]).config.speed == SWITCHES
    for run, gpus in (
        (spec, cards[1]),
        (make_spec(device="cuda", runner="docker", profile="optimized", from_image="o:1"), cards[0]),
    ):
        with pytest.raises(UsageError, match="no tuning is remembered"):
            with_tuned_switches(run, gpus)


def test_a_graph_of_several_gpus_brings_variable_and_warm_up(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = Gpus(tuple(Gpu(number, "A", f"GPU-{number}", (8, 0)) for number in range(2)), "570")
    monkeypatch.setattr("gbench.runs.prepare.find_gpus", lambda: gpus)
    run = {"device": "cuda", "device_count": 2, "profile": "optimized"}
    spec = make_spec(**run, steps=20)
    remember(spec, gpus, found(SpeedConfig(cuda_graph=True)), UTC)
    planned, _ = plan(spec, {})
    assert (planned.env, planned.schedule.warmup_steps) == ({"TORCH_NCCL_ASYNC_ERROR_HANDLING": "0"}, 12)
    planned, _ = plan(spec.replaced(profile="reference", tuning=TuningConfig(max_time_s=1)), {})
    assert planned.env == {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "0"}
    with pytest.raises(UsageError, match="12 warm-up steps leave none of 12 steps to measure; give more with --steps"):
        plan(make_spec(**run, steps=12), {})


def test_if_nothing_paid_no_switch_is_on_and_it_is_said(make_spec: MakeSpec) -> None:
    remember(make_spec(), Gpus(), found(SpeedConfig()), UTC)
    spec = with_tuned_switches(make_spec(profile="optimized"), Gpus())
    assert spec.config.speed == SpeedConfig()
    assert spec.tuned_by is not None and spec.tuned_by.ratio is None


def test_the_latest_tuning_counts(make_spec: MakeSpec) -> None:
    remember(make_spec(), Gpus(), found(SpeedConfig(adam="foreach")), UTC)
    remember(make_spec(), Gpus(), found(), UTC)
    assert with_tuned_switches(make_spec(profile="optimized"), Gpus()).config.speed == SWITCHES


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"speed": {"adam": "quick"}}, r"can't be read \(speed.adam.*not 'quick'\)"),
        ({"version": 2}, r"can't be read \(version: .*not 2\)"),
        (
            {"speed": {"cuda_graph": True}},
            r"not what a tuning for this run has left \(speed.cuda_graph needs a GPU, .*\)",
        ),
        ({"key": {}}, r"not what a tuning for this run has left \(its key is another one\)"),
        (None, r"can't be read \(invalid JSON: .*\)"),
    ],
)
def test_one_that_is_broken_or_not_of_this_run_is_one_sentence(
    make_spec: MakeSpec, changes: dict[str, Any] | None, said: str
) -> None:
    path = remember(make_spec(), Gpus(), found(), UTC)
    path.write_text("{\n" if changes is None else json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InfrastructureError, match=rf"{path} .*{said}; run `gbench tune .* again") as error:
        with_tuned_switches(make_spec(profile="optimized"), Gpus())
    assert "\n" not in str(error.value)


def test_what_was_found_is_not_lost_where_it_cant_be_remembered(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()

    def tuned(prepared: Prepared, observer: Any) -> RunFolder:
        folder = RunFolder.create(prepared.spec)
        folder.write(NAME, found().model_dump())
        return folder

    def prepared(spec: RunSpec, environ: Any, rebuild: bool) -> Prepared:
        return Prepared(spec, Gpus(), make_runner(spec, environ, rebuild), DatasetFacts(), (), None)

    monkeypatch.setattr("gbench.runs.tune.prepare", prepared)
    monkeypatch.setattr("gbench.runs.tune.run_to_end", tuned)
    place_of(spec, key_of(spec, Gpus())).mkdir(parents=True)  # what is written can't take its place
    kept = spec.run_dir / NAME
    with pytest.raises(InfrastructureError, match=rf"^can't write .*\.json \(Is a directory\); .* is kept in {kept}, "):
        tune(spec, {}, Terminal(quiet=True))
    assert read_tuning(RunFolder(spec.run_dir)) == found()


def test_a_tunings_folder_is_no_run_to_be_read(make_spec: MakeSpec) -> None:
    folder = RunFolder.create(make_spec().model_copy(update={"tuning": TuningConfig()}))
    for read in (summarize_folder, RunData.read):
        with pytest.raises(RunFailed, match=f"{folder.path} is a tuning: its trials are no run"):
            read(folder)


def test_an_optimized_launch_names_its_switches_with_its_figure(
    make_spec: MakeSpec,
    gbench: Callable[..., Answer],
    small_launch: list[str],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cache = str(tmp_path / "cache")
    remember(make_spec(datasets_dir=None, dataset=None, cndb_dir=None, cache_dir=cache), Gpus(), found(), UTC)
    run = ["launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--steps", 5, "--warmup", 2]
    run += ["--profile", "optimized", "--cache-dir", cache]
    plan = gbench(*run, "--dry-run")
    assert "speed.adam                     fused  (tuned)" in plan.out
    answer = gbench(*run)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[0].endswith("  synthetic  optimized")
    said = "optimized: adam=fused channels_last=true"
    assert f"profile       {said}" in answer.out
    (path,) = (tmp_path / "results").iterdir()
    folder = RunFolder(path)
    assert said in (path / "report.html").read_text() and "1.250 times as fast" in (path / "report.html").read_text()
    environment = folder.read("environment.json")
    assert environment is not None and environment["speed"] == {"channels_last": True, "adam": "fused"}
    assert environment["precision_at_end"]["ran"] == "FP32"
    (record,) = (tmp_path / "cndb" / "records").iterdir()
    plain = launched_once(tmp_path_factory, small_launch)
    assert "profile" not in plain.answer.out
    refused = gbench("compare", plain.record, record)
    assert refused.code == 2
    assert f"profile is reference in BASE, {said} in NEW" in refused.err and "--allow profile" in refused.err
    assert gbench("compare", plain.record, record, "--allow", "profile").code in (0, 1, 3)
