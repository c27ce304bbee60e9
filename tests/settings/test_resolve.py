"""Precedence, origins, and what launch.sh's documentation exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gbench.base.paths import project_file
from gbench.errors import UsageError
from gbench.settings.check_spec import LARGEST_SIDE
from gbench.settings.model_file import load_model, model_names
from gbench.settings.request import Request
from gbench.settings.resolve import Resolved, new_run_id, resolve


def ask(environ: dict[str, str] | None = None, **changes: object) -> Resolved:
    values = {"model": "pix2pix_resnet_9blocks", "batch_size": 32, "device_count": 8, "precision": "FP32"}
    return resolve(Request(**{**values, **changes}), environ or {})  # type: ignore[arg-type]


def test_option_then_variable_then_config_then_default(tmp_path: Path) -> None:
    for name in ("option", "variable"):
        (tmp_path / name).write_text("FROM scratch\n")
    environ = {"DOCKERFILE": str(tmp_path / "variable"), "CNDB_DIR": str(tmp_path)}
    both = ask(environ, dockerfile=str(tmp_path / "option"))
    assert (both.spec.dockerfile, both.origins["DOCKERFILE"]) == (str(tmp_path / "option"), "option")
    variable = ask(environ)
    assert variable.spec.dockerfile == str(tmp_path / "variable")
    assert variable.origins["DOCKERFILE"] == "variable DOCKERFILE"
    neither = ask()
    assert neither.spec.dockerfile == str(project_file("Dockerfile"))
    assert neither.origins["DOCKERFILE"] == "config"
    assert neither.origins["CNDB_DIR"] == "default"
    assert neither.spec.cndb_dir == str(Path("cndb").resolve())


def test_every_variable_of_launch_sh_is_honoured(tmp_path: Path) -> None:
    config = tmp_path / "configs"
    config.mkdir()
    (config / "mine.yaml").write_text(project_file("configs/pix2pix_unet_128.yaml").read_text())
    script = tmp_path / "run.sh"
    script.write_text("true\n")
    environ = {
        "CONT": "registry.example/golden:1",
        "DATASETS": "maps",
        "DATASETS_DIR": str(tmp_path / "maps"),
        "CNDB_DIR": str(tmp_path / "cndb"),
        "CODE_LINK": "https://example.org/code/blob/0123abc/x.py",
        "RUN_MODEL_FILE": str(script),
        "DOCKERFILE": str(script),
        "CONFIG": str(config),
    }
    resolved = ask(environ, model="mine")
    spec = resolved.spec
    found = (spec.image, spec.dataset, spec.datasets_dir, spec.cndb_dir, spec.code_link)
    assert found == tuple(environ[name] for name in ("CONT", "DATASETS", "DATASETS_DIR", "CNDB_DIR", "CODE_LINK"))
    assert (spec.run_model_file, spec.dockerfile, spec.config_dir) == (str(script), str(script), str(config))
    assert spec.recipe == "custom"
    assert all(resolved.origins[name] == f"variable {name}" for name in environ)


def test_launch_shs_exports_name_the_projects_own_files() -> None:
    spec = ask(
        {
            "RUN_MODEL_FILE": "./PyTorch/pix2pix/pt-pix2pix-convergency.sh",
            "DOCKERFILE": "./PyTorch/pix2pix/Dockerfile",
            "CONFIG": "./PyTorch/pix2pix/configs",
        }
    ).spec
    assert spec.run_model_file == str(project_file("scripts/pt-pix2pix-convergency.sh"))
    assert spec.dockerfile == str(project_file("Dockerfile"))
    assert spec.config_dir == str(project_file("configs"))
    assert spec.recipe == "convergence"


def test_the_run_script_chooses_the_recipe() -> None:
    performance = ask().spec
    assert (performance.recipe, performance.config.schedule.max_steps) == ("performance", 60)
    convergence = ask(run_model_file=str(project_file("scripts/pt-pix2pix-convergency.sh"))).spec
    assert (convergence.recipe, convergence.config.schedule.max_steps) == ("convergence", None)
    assert convergence.config.schedule.epochs + convergence.config.schedule.epochs_decay == 200


def test_set_and_steps_lie_over_the_config() -> None:
    resolved = ask(steps=7, warmup=2, settings=("network.ngf=16", "data.max_dataset_size=null"))
    assert resolved.spec.config.schedule.max_steps == 7
    assert resolved.spec.config.network.ngf == 16
    assert resolved.origins["network.ngf"] == resolved.origins["schedule.max_steps"] == "option"
    assert resolved.origins["network.netG"] == resolved.origins["schedule.drop_last"] == "config"
    assert resolved.origins["network.ndf"] == resolved.origins["seed"] == "default"
    assert resolved.origins["batch_size"] == "argument"


def test_batch_size_is_the_total() -> None:
    assert ask().spec.batch_per_device == 4
    with pytest.raises(UsageError, match="32 or 40"):
        ask(batch_size=33)


def test_a_new_variant_needs_no_code(tmp_path: Path) -> None:
    text = (
        project_file("configs/pix2pix_resnet_9blocks.yaml")
        .read_text()
        .replace("netG: resnet_9blocks", "netG: resnet_6blocks\n  ngf: 32")
    )
    (tmp_path / "small.yaml").write_text(text)
    spec = ask(model="small", config_dir=str(tmp_path)).spec
    assert (spec.config.network.netG, spec.config.network.ngf) == ("resnet_6blocks", 32)


@pytest.mark.parametrize("key", ["run_model_file: scripts/pt-pix2pix.sh", "dockerfile: Dockerfile"])
def test_a_config_from_elsewhere_runs_no_file_of_its_own(tmp_path: Path, key: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("touch executed")
    text = project_file("configs/pix2pix_resnet_9blocks.yaml").read_text()
    name = key.partition(":")[0]
    changed = text.replace(key, f"{name}: {theirs}") if key in text else f"{text}\n{name}: {theirs}\n"
    (tmp_path / "small.yaml").write_text(changed)
    with pytest.raises(UsageError, match=f"{theirs} of the model's config is no file of the project"):
        ask(model="small", config_dir=str(tmp_path))


@pytest.mark.parametrize("name", model_names(project_file("configs")))
def test_every_model_of_the_project_is_its_own_generator(name: str) -> None:
    file = load_model(name, project_file("configs"))
    assert name == f"pix2pix_{file.network.netG}"
    assert file.record_name == f"pix2pix-{file.network.netG}"
    assert {"performance", "convergence"} == set(file.recipes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("network: [", " line 2 is not plain YAML (did not find expected node content); fix the file"),
        ("description: 2026-02-30", " is not plain YAML (day is out of range for month); fix the file"),
        ("description: " + "[" * 200 + "]" * 200, " is not plain YAML (it nests more than 100 deep); fix the file"),
        ("- a list", " holds no mapping; see the project's configs/ for the form"),
        ("network: {ngf: 4}\nnetwork: {ngf: 8}", " line 2: network is there twice; leave one of the two out"),
        ("{}", ": record_name: field required; fix the file"),
        ("record_name: x\ncode_link: y\nrecipes: {}\nngf: 3", ": ngf: extra inputs are not permitted; fix the file"),
        (
            "record_name: x\ncode_link: y\nrecipes: {performance: {run_model_file: a, schedule: {epochz: 1}}}",
            ": epochz: extra inputs are not permitted; fix the file",
        ),
        (
            "record_name: x\ncode_link: y\nrecipes: {}",
            ": recipes has no `performance`; add it; the project's configs/ show the form",
        ),
        ("\udcff", " can't be read (it is not UTF-8 text); fix the file"),
    ],
)
def test_a_broken_config_is_named_with_its_field(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "broken.yaml").write_text(text, errors="surrogateescape")
    with pytest.raises(UsageError) as error:
        load_model("broken", tmp_path)
    assert str(error.value) == f"{tmp_path / 'broken.yaml'}{sentence}"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("network.ngf=[", "--set network.ngf: '[' line 2 is not plain YAML"),
        ("network={ngf: 4, ngf: 8}", "ngf is there twice; leave one of the two out"),
        ("network.ngf=2026-02-30", "is not plain YAML (day is out of range for month)"),
        ("network.netG=" + "x" * 1000, f"not '{'x' * 99}...;"),
    ],
)
def test_a_setting_that_cant_be_meant_is_one_short_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        ask(settings=(setting,))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_run_ids_sort_by_time_and_never_collide() -> None:
    ids = {new_run_id("m") for _ in range(50)}
    assert len(ids) == 50
    assert all(id.split("-")[1] == "m" and id[8] == "T" for id in ids)


def test_the_source_of_the_data_is_an_option_and_a_setting() -> None:
    assert ask().spec.config.data.source == "real"
    for given in ({"data_source": "cached"}, {"settings": ("data.source=cached",)}):
        resolved = ask(**given)
        assert resolved.spec.config.data.source == "cached"
        assert resolved.origins["data.source"] == "option"


def test_the_folder_of_decoded_pairs_is_the_users_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for environ, option, expected, origin in (
        ({}, None, tmp_path / ".cache/gbench", "default"),
        ({"XDG_CACHE_HOME": "/scratch"}, None, Path("/scratch/gbench"), "variable XDG_CACHE_HOME"),
        ({"XDG_CACHE_HOME": "/scratch"}, "here", Path("here").resolve(), "option"),
    ):
        resolved = ask(environ, cache_dir=option)
        assert (resolved.spec.cache_dir, resolved.origins["cache_dir"]) == (str(expected), origin)


def test_nothing_converges_to_noise() -> None:
    with pytest.raises(UsageError, match="--data synthetic is one batch of noise"):
        ask(data_source="synthetic", recipe="convergence")


def test_an_image_scaled_beyond_all_memory() -> None:
    assert LARGEST_SIDE**2 <= (Image.MAX_IMAGE_PIXELS or 0) < (LARGEST_SIDE + 1) ** 2
    with pytest.raises(UsageError, match=r"data\.load_size 200000 makes images larger .*; take at most 9459"):
        ask(settings=("data.load_size=200000",))


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "scale_width_and_crop"])
def test_a_crop_larger_than_the_scaled_image(preprocess: str) -> None:
    sizes = ("data.load_size=60", "data.crop_size=64")
    with pytest.raises(UsageError, match=r"data\.crop_size 64 is larger than data\.load_size 60"):
        ask(settings=(*sizes, f"data.preprocess={preprocess}"))
    ask(settings=(*sizes, "data.preprocess=crop"))


def test_words_are_taken_in_any_case() -> None:
    spec = ask(precision="fp32", device="CPU", runner="Local").spec
    assert (spec.precision, spec.device, spec.runner) == ("FP32", "cpu", "local")


GRAPH = {"settings": ("speed.cuda_graph=true",)}


@pytest.mark.parametrize(
    ("changes", "environ", "env"),
    [
        ({}, {}, {"NCCL_NVLS_ENABLE": "0"}),
        ({"env": {"A": "1"}}, {}, {"A": "1", "NCCL_NVLS_ENABLE": "0"}),
        ({"env": {"NCCL_NVLS_ENABLE": "1"}}, {}, {"NCCL_NVLS_ENABLE": "1"}),
        ({"env": {"NCCL_ALGO": "Ring"}}, {}, {"NCCL_ALGO": "Ring"}),
        ({"runner": "local"}, {"NCCL_ALGO": "Tree"}, {}),
        ({}, {"NCCL_ALGO": "Tree"}, {"NCCL_NVLS_ENABLE": "0"}),  # a container does not inherit it
        ({"device": "cpu"}, {}, {}),
        ({"device_count": 1}, {}, {}),
        ({"deterministic": False}, {}, {}),
        ({"deterministic": False, **GRAPH}, {}, {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "0"}),
        ({"deterministic": False, **GRAPH, "device_count": 1}, {}, {}),
        (GRAPH, {}, {"NCCL_NVLS_ENABLE": "0", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0"}),
        (
            {"deterministic": False, **GRAPH, "env": {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "3"}},
            {},
            {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "3"},
        ),
        ({"deterministic": False, **GRAPH, "runner": "local"}, {"TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}, {}),
    ],
)
def test_variables_of_nccl_are_set_unless_the_user_did(
    changes: dict[str, Any], environ: dict[str, str], env: dict[str, str]
) -> None:
    asked = {"deterministic": True, "device": "cuda", "runner": "docker", "device_count": 2, "batch_size": 2, **changes}
    assert ask(environ, **asked).spec.env == env


def test_a_run_script_from_windows(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/bash\r\necho x\r\n")
    with pytest.raises(UsageError, match=r"has the line ends of Windows; remove them: sed -i 's/\\r\$//' .*run\.sh"):
        ask(run_model_file=str(script))
