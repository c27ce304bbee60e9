"""Settings of an evaluation from the run, the command line and the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gbench.errors import UsageError
from gbench.settings.evaluation_spec import ALEXNET, INCEPTION, EvaluationRequest, final_of, of_model, of_run
from gbench.settings.spec import EvaluationConfig, RunSpec

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Torch's folder of downloads, with weights as torchvision and torch-fidelity name them."""
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in (ALEXNET, INCEPTION):
        (folder / name).touch()
    return folder


def asked(run: RunSpec, environ: dict[str, str], lpips_weights: Path | None = None) -> EvaluationConfig:
    found = of_run(run, EvaluationRequest(Path("epoch-0001.pt"), lpips_weights=lpips_weights), environ).spec.evaluation
    assert found is not None
    return found


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME"])
def test_installed_weights_are_taken_unless_others_are_given(
    make_spec: MakeSpec, cache: Path, tmp_path: Path, variable: str
) -> None:
    environ = {variable: str(tmp_path / "torch" if variable == "TORCH_HOME" else tmp_path)}
    run = make_spec(settings=("data.load_size=64", "data.crop_size=64"))
    found = asked(run, environ)
    assert (found.lpips_weights, found.fid_weights) == (str(cache / ALEXNET), str(cache / INCEPTION))
    (given := tmp_path / "vgg16.pth").touch()
    assert asked(run, environ, given).lpips_weights == str(given)
    nothing = asked(run, {"TORCH_HOME": str(tmp_path / "none")})
    assert (nothing.lpips_weights, nothing.fid_weights) == (None, None)


def test_weights_are_left_where_images_are_too_small(make_spec: MakeSpec, cache: Path) -> None:
    found = asked(make_spec(), {"TORCH_HOME": str(cache.parents[1])})  # 32 pixels
    assert (found.lpips_weights, found.fid_weights) == (None, str(cache / INCEPTION))


def test_a_model_of_the_configs_takes_what_is_given() -> None:
    request = EvaluationRequest(
        Path("epoch-0001.pt"), settings=("network.ngf=16", "data.crop_size=128"), options={"device": "cpu"}
    )
    spec = of_model("pix2pix_unet_128", request, {"GBENCH_DEFAULTS": ""}).spec
    assert (spec.config.network.ngf, spec.config.data.crop_size, spec.config.data.load_size) == (16, 128, 128)
    assert (spec.model, spec.device, spec.precision, spec.device_count) == ("pix2pix_unet_128", "cpu", "FP32", 1)


def test_test_images_are_never_cropped_at_random(make_spec: MakeSpec) -> None:
    request = EvaluationRequest(Path("epoch-0001.pt"), settings=("data.load_size=72", "data.crop_size=64"))
    with pytest.raises(UsageError, match=r"load_size 72 above .* 64 would crop each test image at random"):
        of_run(make_spec(), request, {})
    alone = replace(request, settings=("data.crop_size=64",))
    assert of_run(make_spec(), alone, {}).spec.config.data.load_size == 64


def test_an_evaluation_runs_on_the_chosen_gpus(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Chosen for it, or by the environment; the one at the end of a run on the run's."""
    run = make_spec().model_copy(update={"device": "cuda", "cuda_visible_devices": "3"})
    environ = {"CUDA_VISIBLE_DEVICES": "1"}
    for options, gpus in (({}, "1"), ({"cuda_visible_devices": "2"}, "2"), ({"device": "cpu"}, None)):
        request = EvaluationRequest(tmp_path / "epoch.pt", options=options)
        assert of_run(run, request, environ).spec.cuda_visible_devices == gpus
    assert final_of(run, tmp_path / "epoch.pt", tmp_path / "out", environ).cuda_visible_devices == "3"
