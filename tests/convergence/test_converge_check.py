"""`gbench converge --check`, `--seeds` and `--add-reference`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from convergence_runs import SETTINGS, convergence_run
from gbench.settings.spec import RunSpec
from shared_runs import CONVERGENCE, SCHEDULE_FLAGS, converged_once

Gbench = Callable[..., Answer]
MODEL = ("pix2pix_resnet_9blocks", 1, 1, "FP32")


@pytest.fixture
def spec(make_spec: Callable[..., RunSpec]) -> RunSpec:
    return make_spec(recipe="convergence", steps=None, batch_size=1, settings=SETTINGS)


def test_runs_become_a_reference_for_another_run(gbench: Gbench, spec: RunSpec, tmp_path: Path) -> None:
    trusted = [convergence_run(spec, seed=seed).path for seed in (1, 2)]
    added = [word for run in trusted for word in ("--add-reference", run)]
    words = ("--description", "two seeds", "--quality-images", 3)
    made = gbench("converge", *added, "--out", "own.yaml", *words)
    assert made.code == 0, made.err
    values = yaml.safe_load((tmp_path / "own.yaml").read_text())
    assert (values["description"], values["quality_images"]) == ("two seeds", 3)
    assert [run["source"] for run in values["runs"]] == [str(path) for path in trusted]
    good, bad = convergence_run(spec, seed=3).path, convergence_run(spec, seed=4, factors={"G_L1": 1.4}).path
    assert gbench("converge", "--check", good, "--reference", "own.yaml").code == 0
    answer = gbench("converge", "--check", bad, "--reference", "own.yaml")
    assert answer.code == 1
    first, second = answer.out.splitlines()[:2]
    assert first == "verdict       not reproduced" and second.strip().startswith("G_L1 leaves its band from epoch 1 on")
    both = gbench("converge", "--check", good, "--check", bad, "--reference", "own.yaml", "--json")
    assert both.json["runs"] == [str(good), str(bad)]


def test_a_reference_has_each_seed_once(gbench: Gbench, spec: RunSpec, tmp_path: Path) -> None:
    first, second = (convergence_run(spec, seed=seed).path for seed in (1, 2))
    add = ("converge", "--add-reference", first, "--add-reference")
    answer = gbench(*add, first, "--out", "own.yaml")
    assert answer.code == 2 and f"{first} has the same seed 1 as {first}" in answer.err
    copied = json.loads((second / "spec.json").read_text())
    (second / "spec.json").write_text(json.dumps({**copied, "seed": 1}))
    assert gbench(*add, second, "--out", "own.yaml").code == 2 and not (tmp_path / "own.yaml").exists()
    for name in ("a.log", "b.log"):
        lines = (
            f"(epoch: {epoch}, iters: {iters}, time: 0.1, data: 0.1) G_GAN: 2.{iters} G_L1: 40.{epoch} D_real: 0.3 "
            "D_fake: 0.2\n"
            for epoch in (1, 2)
            for iters in (100, 200, 300)
        )
        (tmp_path / name).write_text("".join(lines))
    recipe = (*MODEL, "--set", "schedule.epochs=1", "--set", "schedule.epochs_decay=1")
    answer = gbench("converge", *recipe, "--add-reference", "a.log", "--add-reference", "b.log", "--out", "own.yaml")
    assert answer.code == 2 and "b.log has the same losses as " in answer.err


def test_a_run_is_judged_between_references_of_two_batch_sizes(
    gbench: Gbench, make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    runs = []
    for size, factor in ((1, 1.0), (2, 1.5), (4, 2.25)):
        spec = make_spec(recipe="convergence", steps=None, batch_size=size, settings=SETTINGS)
        runs.append([convergence_run(spec, seed=10 * size + seed, factors={"G_L1": factor}).path for seed in (1, 2)])
    for name, paths in (("one.yaml", runs[0]), ("four.yaml", runs[2])):
        assert (
            gbench("converge", *(word for path in paths for word in ("--add-reference", path)), "--out", name).code == 0
        )
    both = ("--reference", "one.yaml", "--reference", "four.yaml")
    answer = gbench("converge", "--check", runs[1][0], *both, "--json")
    assert (answer.code, answer.json["verdict"]) == (0, "reproduced"), answer.out
    assert answer.json["reference"].startswith("between batch sizes 1 and 4: ")
    alone = gbench("converge", "--check", runs[1][0], "--reference", "one.yaml")
    assert alone.code == 1 and "batch_size is 2, the reference has 1" in alone.out


def test_a_reference_is_never_overwritten_and_needs_whole_runs(gbench: Gbench, spec: RunSpec, tmp_path: Path) -> None:
    whole, ended = convergence_run(spec, seed=1).path, convergence_run(spec, seed=2, steps=100).path
    (tmp_path / "own.yaml").write_text("mine")
    answer = gbench("converge", "--add-reference", whole, "--out", "own.yaml")
    assert answer.code == 2 and "own.yaml exists already" in answer.err
    assert (tmp_path / "own.yaml").read_text() == "mine"
    answer = gbench("converge", "--add-reference", ended, "--out", "new.yaml")
    assert answer.code == 2 and "has no G_GAN for each of the epochs 5 to 6, its recipe has 40" in answer.err
    assert not (tmp_path / "new.yaml").exists()


def test_a_run_of_another_recipe_is_refused_before_it_starts(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    settings = [word for setting in ("optim.lr=4e-4", "schedule.epochs=1") for word in ("--set", setting)]
    answer = gbench("converge", *MODEL, *small_launch, *settings, "--check")
    assert answer.code == 2 and not (tmp_path / "results").exists()
    assert (
        "can't reproduce the reference" in answer.err and "optim.lr is 0.0004, the reference has 0.0002" in answer.err
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--check", "nothing.log"), "nothing.log is not there, and no run in "),
        (("--check", "."), "has no spec.json"),
        (("--check", "empty.log"), "empty.log holds no line like (epoch: 1"),
        (("--check", "broken.log"), "broken.log line 1 gives no G_GAN, G_L1, D_real, D_fake"),
        (("--check", "good.log", "--allow", "optim.lrr"), "did you mean optim.lr?"),
        (("--check", "good.log", "--reference", "none.yaml"), "none.yaml can't be read"),
        (("--check", "good.log", "--reference", "broken.yaml"), "reference broken.yaml: model: field required"),
        (("--check", "good.log", "--evaluation", "broken.yaml"), "broken.yaml is broken (expected value at line 1"),
        (
            ("--check", "good.log", "--evaluation", "good.log", "--evaluation", "good.log"),
            "--evaluation is given 2 times for 1 runs that are there",
        ),
        (("--check", "good.log", *MODEL), "leave out MODEL"),
        (("--check", "good.log", "--seeds", 3), "leave out --resume, --seeds"),
        ((*MODEL, "--allow", "lr"), "--reference and --allow are of --check and --seeds"),
        ((*MODEL, "--description", "seed 4"), "are of --add-reference"),
        (("--add-reference", "good.log"), "--add-reference needs --out"),
        (("--add-reference", "good.log", "--out", "x.yaml"), "give MODEL BATCH_SIZE DEVICE_COUNT PRECISION"),
    ],
)
def test_wrong_input_gets_one_sentence(
    gbench: Gbench, tmp_path: Path, arguments: tuple[object, ...], said: str
) -> None:
    line = "(epoch: 1, iters: 100, time: 0.045, data: 0.163) G_GAN: 3.1 G_L1: 43.6 "
    (tmp_path / "empty.log").write_text("nothing of the kind\n")
    (tmp_path / "broken.log").write_text(line + "\n")
    (tmp_path / "good.log").write_text(line + "D_real: 0.2 D_fake: 0.1\n")
    (tmp_path / "broken.yaml").write_text("version: 1\n")
    answer = gbench("converge", *arguments)
    assert answer.code in (2, 4) and said in answer.err and answer.err.count("\n") == 1, answer.err
    assert not answer.out


@pytest.mark.slow
def test_seeds_are_trained_and_judged_together(
    gbench: Gbench, small_launch: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Real trainings: a reference from one run, two more compared with it, and its learning rates read back."""
    folder = converged_once(tmp_path_factory, small_launch).folder
    environment = json.loads((folder.path / "environment.json").read_text())
    assert environment["learning_rates"] == [[pytest.approx(1e-4)] * 2, [0.0, 0.0]]
    assert gbench("converge", "--add-reference", folder.path, "--out", "own.yaml").code == 0
    run = ("converge", *CONVERGENCE, *small_launch, *SCHEDULE_FLAGS, "-q", "--json")
    several = (*run, "--seed", 1, "--seeds", 2, "--reference", "own.yaml")
    assert gbench(*several, "--dry-run").json["seeds"] == [1, 2]
    answer = gbench(*several)
    assert "runs" in answer.json, answer.err
    seeds = [json.loads((Path(one["paths"]["run"]) / "spec.json").read_text())["seed"] for one in answer.json["runs"]]
    assert seeds == [1, 2]
    assert answer.json["verdict"]["runs"] == [one["paths"]["run"] for one in answer.json["runs"]]
    assert (
        answer.code
        == answer.json["verdict"]["exit_code"]
        == {"reproduced": 0, "not reproduced": 1}[answer.json["verdict"]["verdict"]]
    )
