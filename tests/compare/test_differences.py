"""Which records are comparable, and the errors for those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from drawn_records import drawn
from gbench.cndb.record import Record
from gbench.compare.differences import configuration, require_alike, require_comparable
from gbench.errors import UsageError

EXTRA = {"recipe": "performance", "dataset_sha256": "c0ffee", "batch_size_per_device": 16}
SETTINGS = {"lr": 0.0002, "netG": "resnet_9blocks"}


@pytest.mark.parametrize(
    ("field", "changes", "said"),
    [
        ("model", {"model": "other"}, "model is pix2pix-resnet_9blocks in BASE, other in NEW"),
        ("batch_size", {"batch_size": 64, "extra": {**EXTRA, "batch_size_per_device": 32}}, "batch_size is 32"),
        ("batch_size_meaning", {"extra": {**EXTRA, "batch_size_per_device": 32}}, "32 per device, 32 in all in NEW"),
        ("batch_size_meaning", {"extra": {**EXTRA, "batch_size_per_device": None}}, "total in BASE, not said in NEW"),
        ("precision", {"train_type": "TF32"}, "precision is FP32 in BASE, TF32 in NEW"),
        ("dataset", {"dataset": "maps"}, "dataset is facades in BASE, maps in NEW"),
        ("dataset_sha256", {"extra": {**EXTRA, "dataset_sha256": "decaf"}}, "dataset_sha256 is c0ffee in BASE, decaf"),
        ("device", {"dev": "Other-80GB"}, "device is Drawn-80GB in BASE, Other-80GB in NEW"),
        ("device_count", {"dev_num": 1, "batch_size": 32}, "device_count is 2 in BASE, 1 in NEW"),
        ("image", {"soft_info": {"name": "drawn:2"}}, "image is drawn:1 in BASE, drawn:2 in NEW"),
        ("recipe", {"extra": {**EXTRA, "recipe": "convergence"}}, "recipe is performance in BASE, convergence in NEW"),
        ("hyper_params.lr", {"hyper_params": {"lr": 0.1, "netG": "resnet_9blocks"}}, "hyper_params.lr is 0.0002"),
        (
            "profile",
            {"hyper_params": {**SETTINGS, "profile": "optimized", "speed": {"adam": "fused"}}},
            "profile is reference in BASE, optimized: adam=fused in NEW",
        ),
        ("distribution", {"dist_type": "DP"}, "distribution is DDP in BASE, DP in NEW"),
        ("evaluation", {"eval_type": "eager"}, "evaluation is not said in BASE, eager in NEW"),
        ("framework", {"framework": "tf"}, "framework is PyTorch in BASE, tf in NEW"),
        ("nodes", {"extra": {**EXTRA, "spec": {"nodes": 2}}}, "nodes is 1 in BASE, 2 in NEW"),
        ("hyper_params.netG", {"hyper_params": {"lr": 0.0002}}, "resnet_9blocks in BASE, not said in NEW"),
    ],
)
def test_each_deciding_field_is_refused_and_may_be_allowed(field: str, changes: dict[str, Any], said: str) -> None:
    profile = {"hyper_params": {**SETTINGS, "profile": "reference"}} if field == "profile" else {}
    base, new = drawn(extra=EXTRA, **profile), drawn(**{"extra": EXTRA, **changes})
    with pytest.raises(UsageError) as caught:
        require_comparable([base], [new], ())
    assert said in caught.value.what
    assert f"--allow {field}" in caught.value.hint
    (told,) = require_comparable([base], [new], (field,))
    assert told.startswith(f"{field}: ")
    assert (configuration(base) == configuration(new)) == (field == "image")
    assert configuration(base, (field,)) == configuration(new, (field,))


def on_machine(host_name: str, key: str) -> Record:
    return drawn(extra={**EXTRA, "machine": {"host_name": host_name, "key": key, "gpus": []}})


def test_runs_of_two_machines_are_refused_unless_allowed() -> None:
    base, new = on_machine("node1", "a" * 16), on_machine("node2", "b" * 16)
    with pytest.raises(UsageError, match=r"machine is node1 \(a{8}\) in BASE, node2 \(b{8}\) in NEW") as caught:
        require_comparable([base], [new], ())
    assert "--allow machine" in caught.value.hint
    assert require_comparable([base], [new], ("machine",)) == ["machine: node1 (aaaaaaaa) -> node2 (bbbbbbbb)"]


def test_a_key_that_is_no_text_is_not_said() -> None:
    odd = drawn(extra={**EXTRA, "machine": {"host_name": "node1", "key": 5}})
    assert require_comparable([odd], [on_machine("node2", "b" * 16)], ()) == []


def test_a_machine_is_shown_by_all_its_names() -> None:
    base = [on_machine("node2", "a" * 16), on_machine("node1", "a" * 16)]
    (told,) = require_comparable(base, [on_machine("other", "b" * 16)], ("machine",))
    assert told == "machine: node1/node2 (aaaaaaaa) -> other (bbbbbbbb)"


def test_runs_that_form_no_baseline_are_named_by_what_differs() -> None:
    require_alike([drawn(), drawn(soft_info={"name": "drawn:2"})])
    with pytest.raises(UsageError) as caught:
        require_alike([drawn(), drawn(train_type="TF32", dist_type="DP", soft_info={"name": "drawn:2"})])
    assert str(caught.value) == (
        "the runs are not comparable: precision is FP32 | TF32; distribution is DDP | DP; "
        "pin runs that agree in all of these"
    )


@pytest.mark.parametrize("new", [on_machine("renamed", "a" * 16), drawn(extra=EXTRA)], ids=["renamed", "not said"])
def test_a_renamed_or_unsaid_machine_is_comparable(new: Record) -> None:
    assert require_comparable([on_machine("node1", "a" * 16)], [new], ()) == []


def test_runs_may_differ_in_seed_driver_tags_and_code() -> None:
    base = drawn(extra={**EXTRA, "driver": "550"})
    new = drawn(
        hyper_params={"lr": 0.0002, "netG": "resnet_9blocks", "seed": 7},
        extra={**EXTRA, "driver": "560"},
        tags=["other"],
        code_link="https://example.org/code@1",
    )
    assert require_comparable([base], [new], ()) == []


def test_runs_of_one_side_must_agree_too() -> None:
    with pytest.raises(UsageError, match=r"precision is FP32 \| TF32 in BASE, FP32 in NEW"):
        require_comparable([drawn(), drawn(train_type="TF32")], [drawn()], ())


def test_a_setting_of_a_setting_is_one_of_the_settings() -> None:
    base, new = (drawn(hyper_params={"optimizer.beta1": one}) for one in (0.5, 0.9))
    told = ["hyper_params.optimizer.beta1: 0.5 -> 0.9"]
    for allowed in ("hyper_params", "hyper_params.optimizer.beta1"):
        assert require_comparable([base], [new], (allowed,)) == told
    with pytest.raises(UsageError, match=r"is not a field|give --allow hyper_params\.optimizer\.beta1$"):
        require_comparable([base], [new], ())


def test_all_settings_may_be_allowed_but_no_unknown_fields() -> None:
    base, new = drawn(), drawn(hyper_params={"lr": 1, "netG": "unet_256"})
    assert len(require_comparable([base], [new], ("hyper_params",))) == 2
    with pytest.raises(UsageError) as caught:
        require_comparable([base], [new], ("lr",))
    fields = ", ".join(sorted({*configuration(base), "hyper_params", "image", "machine"}))
    assert str(caught.value) == f"--allow 'lr' is not a field of these records; known: {fields}"
