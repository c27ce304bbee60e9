"""The profile of a run, the switches that apply to it, and the command that tunes for it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gbench.base.paths import project_file
from gbench.cli.tune import tune
from gbench.errors import UsageError
from gbench.settings.model_config import ModelConfig, SpeedConfig
from gbench.settings.spec import ProfileConfig, RunSpec
from gbench.settings.switches import CANDIDATES, describe, why_not, written
from gbench.settings.tuning_spec import tune_command

MakeSpec = Callable[..., RunSpec]
GRAPH = ("speed.cuda_graph=true",)


def test_no_switch_is_on_by_itself(make_spec: MakeSpec) -> None:
    assert ModelConfig().speed.on == {}
    assert (make_spec().profile, make_spec(profile="reference").profile) == ("reference", "reference")
    assert make_spec(profile="optimized").profile == "optimized"


def test_switches_of_ones_own_make_the_profile_custom(make_spec: MakeSpec) -> None:
    spec = make_spec(settings=("speed.channels_last=true", "speed.adam=fused", "speed.threads=1"))
    assert spec.profile == "custom"
    assert describe(spec.profile, spec.config.speed.on) == "custom: adam=fused channels_last=true threads=1"
    assert written(spec.config.speed.on) == "speed.adam=fused speed.channels_last=true speed.threads=1"
    assert make_spec(settings=("speed.adam=default",)).profile == "reference"
    assert make_spec(profile="custom", settings=("speed.threads=1",)).profile == "custom"
    assert describe("optimized", {}) == "optimized: no switch is on"


@pytest.mark.parametrize(
    ("profile", "settings", "said"),
    [
        ("fast", (), "--profile 'fast' is not known; choose one of reference, optimized, custom"),
        ("custom", (), "--profile custom is for switches of your own, and none is given"),
        ("reference", ("speed.threads=1",), "--profile reference decides the switches by itself, and speed.threads=1"),
        ("optimized", ("speed.threads=1",), "--profile optimized decides the switches by itself"),
    ],
)
def test_a_profile_that_is_not_what_the_switches_are_is_refused(
    make_spec: MakeSpec, profile: str, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make_spec(profile=profile, settings=settings)


@pytest.mark.parametrize(
    ("speed", "changes", "said"),
    [
        ({"cuda_graph": True}, {}, "speed.cuda_graph needs a GPU, --device cpu has no CUDA graphs"),
        ({"cuda_graph": True}, {"device": "cuda", "device_count": 2, "steps": 13}, None),
        ({"cuda_graph": True}, {"device": "cuda", "device_count": 2, "steps": 12}, "give more with --steps: speed"),
        ({"cuda_graph": True}, {"device": "cuda", "precision": "AMP"}, "AMP's GradScaler"),
        ({"cuda_graph": True}, {"device": "cuda", "steps": 5}, None),
        ({"gradient_as_bucket_view": True}, {}, "one device has none"),
        ({"static_graph": True}, {"device_count": 2}, None),
        ({"compile": "blocks"}, {"model": "pix2pix_unet_128"}, "unet_128 has none"),
        ({"compile": "networks"}, {}, None),
        ({"threads": 2}, {"device": "cuda"}, "speed.threads is for --device cpu"),
    ],
)
def test_a_switch_that_cant_act_is_refused(
    make_spec: MakeSpec, speed: dict[str, Any], changes: dict[str, Any], said: str | None
) -> None:
    settings = tuple(f"speed.{key}={str(value).lower()}" for key, value in speed.items())
    if changes.get("model") == "pix2pix_unet_128":
        settings += ("data.load_size=128", "data.crop_size=128")
    if said is None:
        assert make_spec(settings=settings, **changes).config.speed == SpeedConfig(**speed)
    else:
        with pytest.raises(UsageError, match=said):
            make_spec(settings=settings, **changes)


@pytest.mark.parametrize(
    ("devices", "asked", "settings", "warmup"),
    [(1, 1, GRAPH, 4), (2, 1, GRAPH, 12), (2, 20, GRAPH, 20), (2, 1, (), 1)],
    ids=["one device", "several", "longer", "no graph"],
)
def test_the_warm_up_covers_the_capture(
    make_spec: MakeSpec, devices: int, asked: int, settings: tuple[str, ...], warmup: int
) -> None:
    spec = make_spec(device="cuda", device_count=devices, warmup=asked, steps=40, settings=settings)
    assert (spec.schedule.warmup_steps, spec.schedule.max_steps) == (warmup, 40)
    assert spec.config.schedule.warmup_steps == asked  # the record has what was asked for
    profiled = spec.replaced(profiling=ProfileConfig(steps=7))
    assert profiled.schedule.max_steps == (warmup + 7 if settings else 40)


@pytest.mark.parametrize("threads", ["0", "1000000000"])
def test_a_number_of_threads_that_no_machine_has_is_refused(make_spec: MakeSpec, threads: str) -> None:
    with pytest.raises(UsageError, match=f"--set speed.threads: .*, not {threads}"):
        make_spec(settings=(f"speed.threads={threads}",))


def test_every_switch_that_can_change_a_step_is_a_candidate(make_spec: MakeSpec) -> None:
    on_gpus = [make_spec(device="cuda", device_count=count) for count in (1, 2)]
    tried = {key for spec in on_gpus for one in CANDIDATES if why_not(spec, SpeedConfig(**one)) is None for key in one}
    assert tried == set(SpeedConfig.model_fields) - {"threads", "gradient_as_bucket_view"}  # on in any case
    on_cpu = [one for one in CANDIDATES if why_not(make_spec(), SpeedConfig(**one)) is None]
    assert {key for one in on_cpu for key in one} == {"channels_last", "adam", "compile"}


def test_the_tuning_command_means_the_same_network_and_sizes(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = make_spec(profile="optimized", deterministic=True, settings=("network.dropout=false",))
    words = shlex.split(tune_command(spec))
    assert words[:6] == ["gbench", "tune", "pix2pix_resnet_9blocks", "4", "1", "FP32"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUN_MODEL_FILE", str(project_file("scripts/pt-pix2pix-convergency.sh")))
    answer = CliRunner().invoke(tune, [*words[2:], "--dry-run"], catch_exceptions=False)
    assert answer.exit_code == 0
    for line in (
        f"RUN_MODEL_FILE                 {project_file('scripts/pt-pix2pix.sh')}  (gbench tune)",
        "network.ngf                    4  (option)",
        "network.dropout                False  (option)",
        "data.crop_size                 32  (option)",
        "deterministic                  True  (option)",
        "data.source                    synthetic  (gbench tune)",
        "tuning                         {'max_time_s': 120.0}",
    ):
        assert line in answer.output


@pytest.mark.parametrize("cache_home", [None, "/scratch"])
def test_the_tuning_command_names_only_another_cache_folder(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, cache_home: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache_home:
        monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
    folders = {None: "/home/user/.cache/gbench", "/scratch": "/scratch/gbench"}
    for home, folder in folders.items():
        words = shlex.split(tune_command(make_spec(profile="optimized", cache_dir=folder)))
        assert words.count(folder) == (home != cache_home)


@pytest.mark.parametrize("option", ["--run-model-file", "--cndb-dir", "--logs", "--data", "--profile", "--cache-limit"])
def test_a_tuning_has_no_option_that_it_does_not_heed(option: str) -> None:
    answer = CliRunner().invoke(tune, ["pix2pix_resnet_9blocks", "4", "1", "FP32", option, "real"])
    assert answer.exit_code == 2 and f"No such option '{option}'" in answer.output
