"""Spec files: their equivalent command line of `gbench launch`, and errors for invalid ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import pytest

from gbench.cli.launch import launch
from gbench.errors import UsageError
from gbench.settings.defaults import resolve_values
from gbench.settings.quantities import RUNS_OWN, problem_of_variable
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec_file import KEYS, read_mapping, request_of

LEAST = "model: pix2pix_resnet_9blocks\nbatch_size: 4\ndevice_count: 1\nprecision: FP32\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
# parameters of launch that say nothing of the run itself
OF_THE_COMMAND = {"allow", "smoke", "attach", "detach", "trust", "repeats", "rebuild", "dry_run", "json", "quiet"}


def read_spec_file(path: Path, command_line: str = "") -> Request:
    return request_of(read_mapping(path), str(path), command_line)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return path

    return write


def test_every_argument_and_option_of_launch_has_its_key() -> None:
    names = set()
    for parameter in launch.params:
        long = parameter.opts[-1].lstrip("-").replace("-", "_")
        names.add(long if isinstance(parameter, click.Option) else parameter.name)
    assert names - OF_THE_COMMAND == set(KEYS)


def test_a_file_says_words_in_any_case(write: Any) -> None:
    request = read_spec_file(write(LEAST.replace("FP32", "bf16") + "device: CPU\nrunner: Local\n"))
    assert (request.precision, request.device, request.runner) == ("BF16", "cpu", "local")


def test_a_whole_file_says_what_a_command_line_says(write: Any) -> None:
    request = read_spec_file(
        write(
            LEAST
            + "ignore_check: ignore_check\ndatabase: false\ndevice: cpu\nrunner: local\nuntil_ci: 0.5 %\n"
            + "max_time: 10m\ntimeout: 90\nseed: 3\ndeterministic: true\ndata: synthetic\ncache_limit: 2\n"
            + "set: {network.ngf: 16, optim.lr: 1e-4, schedule.max_steps: null, data.flip: no}\n"
            + "env: {OMP_NUM_THREADS: 2, NCCL_ALGO: Ring}\ndataset: maps\ndatasets_dir: here/data\nresults: out\n"
        ),
        "gbench ab a.yaml b.yaml",
    )
    spec = resolve(request, {"DATASETS": "facades"}).spec
    config = spec.config
    assert (spec.ignore_check, spec.database, spec.device, spec.runner) == (True, None, "cpu", "local")
    assert (config.schedule.until_ci, config.schedule.max_time_s, spec.timeout_s) == (0.005, 600.0, 90.0)
    assert (spec.seed, spec.deterministic, config.data.source, spec.cache_limit_gib) == (3, True, "synthetic", 2.0)
    assert (config.network.ngf, config.optim.lr, config.schedule.max_steps, config.data.flip) == (16, 1e-4, None, False)
    assert spec.env == {"OMP_NUM_THREADS": "2", "NCCL_ALGO": "Ring"}
    assert (spec.dataset, spec.datasets_dir) == ("maps", str(Path("here/data").resolve()))
    assert (spec.results_dir, spec.command_line) == (str(Path("out").resolve()), "gbench ab a.yaml b.yaml")


def test_what_a_file_leaves_out_is_as_on_the_command_line(write: Any) -> None:
    resolved = resolve(read_spec_file(write(LEAST)), {"DATASETS": "maps"})
    assert (resolved.spec.dataset, resolved.origins["DATASETS"]) == ("maps", "variable DATASETS")
    assert (resolved.spec.device, resolved.origins["device"], resolved.origins["env"]) == ("cuda", "default", "default")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is not a mapping"]),
        ("- model", ["is not a mapping"]),
        ("model: [", [" line ", "is not plain YAML"]),
        ("model: pix2pix_resnet_9blocks\n", ["does not say batch_size"]),
        (LEAST + "stepps: 3\n", ["no key 'stepps'", "did you mean steps?"]),
        (LEAST + "until-ci: 1%\n", ["no key 'until-ci'", "did you mean until_ci?"]),
        (LEAST + "zebra: 1\n", ["no key 'zebra'", "known: model, batch_size"]),
        (LEAST + "1: 1\n", ["no key 1"]),
        (LEAST + "steps: 3\nsteps: 4\n", ["steps is there twice"]),
        (LEAST + "set: {network.ngf: 3, network.ngf: 4}\n", ["set.network.ngf is there twice"]),
        (LEAST.replace("4", '"4"'), ["batch_size", "valid integer", "not '4'"]),
        (LEAST.replace("4", "[4, 8]"), ["batch_size", "valid integer", "not [4, 8]"]),
        (LEAST.replace("4", "true"), ["batch_size", "not True"]),
        (LEAST.replace("FP32", "FP8"), ["precision", "'TF32'", "not 'FP8'"]),
        (LEAST + "until_ci: 0.01\n", ["until_ci", "a percentage like 1%", "not 0.01"]),
        (LEAST + "max_time: soon\n", ["max_time", "15m", "not 'soon'"]),
        (LEAST + "timeout: yes\n", ["timeout", "15m", "not True"]),
        (LEAST + "ignore_check: perhaps\n", ["ignore_check", "not 'perhaps'"]),
        (LEAST + "set: {network: {ngf: 3}}\n", ["set", "network", "dotted: network.ngf"]),
        (LEAST + "set: [network.ngf=3]\n", ["set", "valid dictionary"]),
        (LEAST + "runner: slurm\nsbatch: --mem=0\n", ["sbatch: input should be a list, not '--mem=0'"]),
        (LEAST + "env: {A: no}\n", ["env.A", "valid string", "not False"]),
        (LEAST + "env: {A: 0123}\n", ["env.A: 0123 is another number to YAML", "in quotes"]),
        (LEAST + "env: {A: 1_000}\n", ["env.A: 1_000 is another number"]),
        (LEAST + "max_time: 1:30\n", ["max_time: 1:30 is another number"]),
        (LEAST + "seed: 010\n", ["seed: 010 is another number"]),
        (LEAST + "env: {A: 1.10}\n", ["env.A", "valid string", "not 1.1"]),
        (LEAST + 'datasets_dir: "a\\0b"\n', ["datasets_dir: input should hold no NUL"]),
        (BOMB, ["is not plain YAML", "more than 1,000,000 values"]),
        (LEAST + "set: &a {network.ngf: {x: *a}}\n", ["is not plain YAML"]),
        (LEAST + "big: " + "x" * (1 << 20), ["is larger than 1 MiB"]),
    ],
)
def test_an_invalid_file_is_reported_with_file_and_key(write: Any, text: str, parts: list[str]) -> None:
    path = write(text)
    with pytest.raises(UsageError) as caught:
        read_spec_file(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert all(part in said for part in parts), said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["none.yaml", "folder", "utf16.yaml"])
def test_a_file_that_cant_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "utf16.yaml").write_bytes(LEAST.encode("utf-16"))
    with pytest.raises(UsageError, match="can't be read"):
        read_spec_file(tmp_path / name)


def test_what_resolving_complains_of_is_told_of_the_file(write: Any) -> None:
    path = write(LEAST + "set: {network.ngff: 3}\n")
    with pytest.raises(UsageError, match=r"a\.yaml: --set: there is no setting 'network.ngff'; did you mean"):
        resolve_values(read_mapping(path), str(path), dict(os.environ))


def test_other_keys_beside_those_of_a_spec_file(write: Any) -> None:
    path = write(LEAST + "matrix: {precision: [FP32, BF16]}\nenv: {A: x, B: y}\n")
    with pytest.raises(UsageError, match="no key 'matrix'"):
        read_spec_file(path)
    values = read_mapping(path, more_keys=["matrix"])
    matrix = values.pop("matrix")
    cell = {**values, "precision": matrix["precision"][1], "set": {"data.workers": 1}}
    cell["env"] = {**values["env"], "B": "z"}
    request = request_of(cell, f"{path}: cell 2")
    assert (request.precision, request.env) == ("BF16", {"A": "x", "B": "z"})
    assert request.settings == ("data.workers=1",)
    with pytest.raises(UsageError, match=r"cell 2: steps: input should be a valid integer, not \[1\]"):
        request_of({**cell, "steps": [1]}, f"{path}: cell 2")


def test_a_value_that_no_record_holds() -> None:
    assert problem_of_variable("A", "caf\udce9") == "has bytes that are not UTF-8, which no record holds"
    assert problem_of_variable("A", "café") is None


@pytest.mark.parametrize(
    ("name", "problem"), [("RUN_DIR", "is set by the run itself"), ("2A", "is no name"), ("A B", "is no name")]
)
def test_a_variable_that_no_run_script_can_be_given(write: Any, name: str, problem: str) -> None:
    path = write(LEAST + f"env: {{'{name}': x}}\n")
    with pytest.raises(UsageError, match=f"--env '{name}' {problem}"):
        resolve_values(read_mapping(path), str(path), {})


def test_the_runs_own_variables_are_all_that_a_runner_sets(make_spec: Any, tmp_path: Path) -> None:
    from gbench.runners.docker import Caller, container_request
    from gbench.runners.plan import Places, script_environment

    spec = make_spec(env={"OMP_NUM_THREADS": "7", "NCCL_ALGO": "Ring"})
    inside = container_request(spec, "image", "image", tmp_path, Caller.current())["environment"]
    places = Places("run", "data", "config", "script", "python", "cache")
    on_host = script_environment(spec, places, cores=2)
    cuda = spec.model_copy(update={"device": "cuda", "cuda_visible_devices": "0"})
    names = {*inside, *on_host, *script_environment(cuda, places, cores=2)}
    assert names - {"OMP_NUM_THREADS", "NCCL_ALGO"} == RUNS_OWN
    for variables in (inside, on_host):
        assert (variables["OMP_NUM_THREADS"], variables["NCCL_ALGO"]) == ("7", "Ring")
