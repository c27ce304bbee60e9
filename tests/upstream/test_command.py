"""A spec as upstream's command line, and settings that upstream lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gbench.errors import UsageError
from gbench.settings.spec import RunSpec
from gbench.upstream.command import arguments, require_known

MakeSpec = Callable[..., RunSpec]


def words_of(spec: RunSpec, facades: Path, tmp_path: Path) -> tuple[dict[str, str], set[str]]:
    """Options with their values, and flags."""
    given = " ".join(arguments(spec, facades, tmp_path)).split("--")[1:]
    pairs = [one.split() for one in given]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}, {pair[0] for pair in pairs if len(pair) == 1}


def test_the_batch_the_cards_and_the_network_are_the_specs(make_spec: MakeSpec, facades: Path, tmp_path: Path) -> None:
    spec = make_spec(batch_size=6, device_count=2, device="cuda", steps=5, settings=("data.workers=3",))
    values, flags = words_of(spec, facades, tmp_path)
    assert (values["model"], values["netG"], values["direction"]) == ("pix2pix", "resnet_9blocks", "BtoA")
    assert (values["batch_size"], values["gpu_ids"], values["num_threads"]) == ("6", "0,1", "6")
    assert (values["load_size"], values["crop_size"], values["ngf"], values["norm"]) == ("36", "32", "4", "batch")
    assert (values["lr"], values["beta1"], values["lambda_L1"]) == ("0.0002", "0.5", "100.0")
    assert values["print_freq"] == "6"  # images
    # 16 images are two whole batches; the run ends in the third epoch, at the rates of the spec's schedule
    assert (values["max_dataset_size"], values["n_epochs"], values["n_epochs_decay"]) == ("12", "100", "100")
    assert values["display_id"] == "-1" and flags == {"no_html"}


def test_steps_beyond_the_schedule_are_refused(make_spec: MakeSpec, facades: Path, tmp_path: Path) -> None:
    settings = ("schedule.epochs=1", "schedule.epochs_decay=1")
    with pytest.raises(UsageError, match="5 steps are 3 epochs of 2, and the schedule ends after 2; --set schedule"):
        arguments(make_spec(batch_size=6, steps=5, settings=settings), facades, tmp_path)


def test_settings_that_are_flags_there(make_spec: MakeSpec, facades: Path, tmp_path: Path) -> None:
    spec = make_spec(settings=("data.flip=false", "data.shuffle=false", "network.dropout=false"))
    values, flags = words_of(spec, facades, tmp_path)
    assert flags == {"no_html", "no_flip", "serial_batches", "no_dropout"}
    assert values["gpu_ids"] == "-1"


def test_a_dataset_below_one_batch_is_refused(make_spec: MakeSpec, facades: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives 16 images, fewer than one batch of 17"):
        arguments(make_spec(batch_size=17), facades, tmp_path)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"precision": "AMP"}, "PRECISION AMP: upstream's train.py has no such mode; take FP32 or TF32"),
        ({"precision": "BF16"}, "PRECISION BF16"),
        ({"deterministic": True}, "--deterministic"),
        ({"settings": ("speed.channels_last=true",)}, "speed.channels_last=true: upstream's train.py has no such mode"),
        ({"profile": "optimized"}, "--profile optimized: upstream's train.py has no such mode"),
        ({"data_source": "cached"}, "--data cached"),
        ({"until_ci": 0.01}, "--until-ci"),
        ({"max_time_s": 10.0}, "--max-time"),
        ({"settings": ("optim.beta2=0.9",)}, "optim.beta2 0.9"),
        ({"device_count": 2}, "several processes on a CPU"),
        ({"settings": ("schedule.max_steps=null",), "steps": None}, "give --steps"),
        ({"steps": 1, "warmup": 0}, "a number of steps here, at least 2; give --steps"),
    ],
)
def test_what_upstream_can_not_do_is_refused(make_spec: MakeSpec, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError) as error:
        require_known(make_spec(**changes))
    assert what in str(error.value)


def test_what_it_can_do_is_not(make_spec: MakeSpec) -> None:
    require_known(make_spec())
    require_known(make_spec(device="cuda", device_count=2, precision="TF32"))
