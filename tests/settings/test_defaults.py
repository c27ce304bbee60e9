"""What a gbench.yaml and GBENCH_ variables say where the command line says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Answer

MODEL = "pix2pix_resnet_9blocks"
RUN = ["launch", MODEL, 4, 1, "FP32", "--dry-run", "--json"]
CPU = "device: cpu\nrunner: local\n"


@pytest.fixture
def searching(gbench: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Runs gbench with a search for gbench.yaml, which none of the test's own folders has."""
    monkeypatch.delenv("GBENCH_DEFAULTS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return gbench


def test_the_file_says_what_the_command_line_does_not(searching: Callable[..., Answer], tmp_path: Path) -> None:
    file = tmp_path / "gbench.yaml"
    file.write_text(CPU + "datasets_dir: sets\ndataset: maps\nresults: out\nset: {network.ngf: 8, data.workers: 0}\n")
    found = searching(*RUN, "--dataset", "mine", "--set", "network.ngf=16").json
    spec, origins = found["spec"], found["origins"]
    assert (spec["device"], spec["runner"], spec["dataset"]) == ("cpu", "local", "mine")
    assert (spec["datasets_dir"], spec["results_dir"]) == (str(tmp_path / "sets"), str(tmp_path / "out"))
    assert (spec["config"]["network"]["ngf"], spec["config"]["data"]["workers"]) == (16, 0)
    of_file = ("device", "runner", "DATASETS_DIR", "results_dir", "data.workers")
    assert {origins[name] for name in of_file} == {str(file)}
    assert origins["DATASETS"] == origins["network.ngf"] == "option"


def test_precedence_of_option_variable_and_file(searching: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "gbench.yaml").write_text("device: cuda\nrunner: docker\ndatasets_dir: sets\ndata: synthetic\n")
    found = searching(*RUN, GBENCH_DEVICE="CPU", GBENCH_RUNNER="local", DATASETS_DIR="/there").json
    spec, origins = found["spec"], found["origins"]
    assert (spec["device"], origins["device"]) == ("cpu", "variable GBENCH_DEVICE")
    assert (spec["runner"], origins["runner"]) == ("local", "variable GBENCH_RUNNER")
    assert (spec["datasets_dir"], origins["DATASETS_DIR"]) == ("/there", "variable DATASETS_DIR")
    stated = searching(*RUN, "--device", "cuda", "--data", "real", GBENCH_DEVICE="cpu").json
    assert (stated["spec"]["device"], stated["origins"]["device"]) == ("cuda", "default")
    assert stated["spec"]["config"]["data"]["source"] == "real"


@pytest.mark.parametrize(
    ("option", "variables", "kept", "origin"),
    [
        (["--results", "o"], {"RESULT_DIR": "v", "WORK_DIR": "w"}, "o", "option"),
        ([], {"RESULT_DIR": "v", "WORK_DIR": "w"}, "v", "variable RESULT_DIR"),
        ([], {"WORK_DIR": "w"}, "w/results", "variable WORK_DIR"),
        ([], {}, "f", "gbench.yaml"),
        ([], {"GBENCH_DEFAULTS": ""}, "results", "default"),
    ],
)
def test_folders_of_results_have_one_precedence(
    searching: Callable[..., Answer],
    tmp_path: Path,
    option: list[str],
    variables: dict[str, str],
    kept: str,
    origin: str,
) -> None:
    (tmp_path / "gbench.yaml").write_text("results: f\nlogs: f\n")
    (tmp_path / "a.yaml").write_text(f"model: {MODEL}\nbatch_size: 4\ndevice_count: 1\nprecision: FP32\n{CPU}")
    place = tmp_path / kept
    found = searching(*RUN, *option, **variables).json
    assert (found["spec"]["results_dir"], Path(found["origins"]["results_dir"]).name) == (str(place), origin)
    if "RESULT_DIR" not in variables:
        assert found["spec"]["logs_dir"] == str(place.with_name(place.name.replace("results", "logs")))
    side = searching("ab", "a.yaml", "a.yaml", *option, "--dry-run", "--json", **variables).json["sides"]["A"]
    assert Path(side["spec"]["results_dir"]).parent == place
    checks = searching("check", *option, "--json", **variables).json["checks"]
    assert f"{place}, " in next(one["found"] for one in checks if one["id"] == "writing")
    place.mkdir(exist_ok=True, parents=True)
    assert str(place) in searching("runs", *option, **variables).out or option


def test_other_folders_have_the_same_precedence(searching: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "gbench.yaml").write_text("datasets_dir: f\ncndb_dir: c\n")
    cases: list[tuple[dict[str, str], str, str]] = [
        ({}, "f", "c"),
        ({"DATASETS_DIR": "v", "CNDB_DIR": "d"}, "v", "d"),
    ]
    for variables, sets, cndb in cases:
        made = searching("data", "synth", "--count", 1, "--size", 16, "--json", **variables).json
        assert (tmp_path / made["root"]).resolve() == tmp_path / sets / "synthetic"
        assert f"{sets}/facades; `gbench data prepare facades` makes" in searching("data", "verify", **variables).err
        assert f"{cndb}/" in searching("cndb", "list", **variables).err


def test_the_nearest_file_upwards_then_the_users(searching: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "config" / "gbench").mkdir(parents=True)
    (tmp_path / "config" / "gbench" / "gbench.yaml").write_text("seed: 1\n")
    assert searching(*RUN).json["spec"]["seed"] == 1
    (tmp_path.parent / "gbench.yaml").write_text("seed: 2\n")
    try:
        assert searching(*RUN).json["spec"]["seed"] == 2
        named = tmp_path / "named.yaml"
        named.write_text("seed: 3\n")
        assert searching(*RUN, GBENCH_DEFAULTS=str(named)).json["spec"]["seed"] == 3
        assert searching(*RUN, GBENCH_DEFAULTS="").json["spec"]["seed"] == 0
    finally:
        (tmp_path.parent / "gbench.yaml").unlink()


def test_every_command_that_runs_takes_them(searching: Callable[..., Answer], tmp_path: Path, facades: Path) -> None:
    (tmp_path / "gbench.yaml").write_text(CPU + f"datasets_dir: {facades}\nprofile: reference\ncndb_dir: db\n")
    (tmp_path / "a.yaml").write_text(f"model: {MODEL}\nbatch_size: 4\ndevice_count: 1\nprecision: fp32\n")
    for command in (["launch", "a.yaml"], ["converge", *RUN[1:5]], ["tune", *RUN[1:5]], ["profile", *RUN[1:5]]):
        spec = searching(*command, "--dry-run", "--json").json["spec"]
        assert (spec["device"], spec["runner"], spec["datasets_dir"]) == ("cpu", "local", str(facades))
    both = searching("ab", "a.yaml", "a.yaml", "--dry-run", "--json").json["sides"]
    assert both["A"]["spec"]["device"] == "cpu"
    assert searching("check").code == 0
    assert str(tmp_path / "db") in searching("cndb", "list").err


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("env: {BASH_ENV: x}\n", ["env can have no default", "take any of device, runner"]),
        ("run_model_file: x.sh\n", ["run_model_file can have no default"]),
        ("model: x\n", ["model can have no default"]),
        ("devcie: cpu\n", ["no key 'devcie'", "did you mean device?"]),
        ("device: tpu\n", ["device", "'cuda' or 'cpu'"]),
        ("set: {network.nfg: 1}\n", ["no setting 'network.nfg'"]),
        ("- device\n", ["is not a mapping"]),
    ],
)
def test_a_wrong_file_is_one_sentence(
    searching: Callable[..., Answer], tmp_path: Path, text: str, parts: list[str]
) -> None:
    (tmp_path / "gbench.yaml").write_text(text)
    answer = searching(*RUN)
    assert answer.code == 2
    assert all(part in answer.err for part in parts), answer.err
    assert searching("launch", "--help").code == 0


def test_a_wrong_variable_is_named(gbench: Callable[..., Answer]) -> None:
    answer = gbench(*RUN, GBENCH_RUNNER="podman")
    assert (answer.code, "GBENCH_RUNNER 'podman'" in answer.err) == (2, True)


def test_launch_takes_a_spec_file(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    text = f"model: {MODEL}\nbatch_size: 4\ndevice_count: 1\nprecision: FP32\ndevice: cpu\nrunner: local\nsteps: 30\n"
    (tmp_path / "run.yml").write_text(text)
    spec: dict[str, Any] = gbench("launch", "run.yml", "--dry-run", "--json").json["spec"]
    assert (spec["batch_size"], spec["config"]["schedule"]["max_steps"]) == (4, 30)
    other = gbench("launch", "run.yml", "--steps", 5)
    assert (other.code, "leave out --steps" in other.err) == (2, True)


def test_smoke_is_a_small_run_on_this_cpu(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    found = gbench(
        "launch", "--smoke", "--dry-run", "--json", "--steps", 9, XDG_CACHE_HOME=str(tmp_path / "cache")
    ).json
    spec = found["spec"]
    assert (spec["model"], spec["device"], spec["runner"], spec["batch_size"]) == (MODEL, "cpu", "local", 4)
    assert (spec["config"]["schedule"]["max_steps"], spec["config"]["network"]["ngf"]) == (9, 8)
    assert spec["datasets_dir"] == str(tmp_path / "cache" / "gbench" / "smoke")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", " line 2 is not plain YAML ("),
        ("seed: x", ": seed: input should be a valid integer"),
        ("modle: x", ": there is no key 'modle'; did you mean model? Or set GBENCH_DEFAULTS= to run without it"),
        ("model: x", ": model can have no default; take any of"),
        ("set: {nope: 1}", ": there is no setting 'nope'"),
        ("set: {network.ngf: x}", " network.ngf: "),
    ],
)
def test_a_broken_file_is_named(searching: Callable[..., Answer], tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "gbench.yaml").write_text(f"{text}\n")
    answer = searching(*RUN)
    assert answer.code == 2 and answer.err.startswith(f"gbench: error: {tmp_path / 'gbench.yaml'}{said}"), answer.err
    assert "set: " in text or answer.err.lower().endswith("or set gbench_defaults= to run without it\n")
