"""Weights in different files, and the errors if they don't fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix import build_discriminator, build_generator
from gbench.pix2pix.weights import generator_weights, load_generator

NAME = "latest_net_G.pth"


def loaded(values: Any, **changes: Any) -> torch.nn.Module:
    network = build_generator("resnet_6blocks", **{"ngf": 4, **changes})
    load_generator(network, generator_weights(values, NAME), NAME, "resnet_6blocks")
    return network


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    values = other.state_dict()
    return all(torch.equal(value, values[key]) for key, value in one.state_dict().items())


def test_every_saved_form_of_a_generator_loads() -> None:
    trained = build_generator("resnet_6blocks", ngf=4)
    state = dict(trained.state_dict())
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    wrapped = {f"module.{key}": value for key, value in state.items()}
    compiled = [
        {f"{prefix}{key}": value for key, value in state.items()}
        for prefix in ("_orig_mod.", "module._orig_mod.", "_orig_mod.module.")
    ]
    compiled.append({key.replace("model.", "model._orig_mod.", 1): value for key, value in state.items()})
    for form in (*compiled, state, old, wrapped, {"model": {"generator": state}, "epoch": 3}):
        assert same(loaded(form), trained)


def test_statistics_that_an_old_instance_norm_kept_are_left_out() -> None:
    trained = build_generator("resnet_6blocks", ngf=4, norm="instance")
    state = dict(trained.state_dict())
    state["model.2.running_mean"] = torch.zeros(4)
    state["model.2.num_batches_tracked"] = torch.tensor(0)
    assert same(loaded(state, norm="instance"), trained)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (build_generator("resnet_6blocks", ngf=8).state_dict(), "model.1.weight is 8x3x7x7 in it and 4x3x7x7 in the"),
        (build_generator("resnet_9blocks", ngf=4).state_dict(), "it has no model.16.weight"),
        (build_generator("unet_128", ngf=4).state_dict(), "it has no model.1.weight"),
        (build_discriminator("basic", ndf=4).state_dict(), "it has no model.1.weight"),
        (
            {**build_generator("resnet_6blocks", ngf=4).state_dict(), "model.99.bias": torch.zeros(1)},
            "it has model.99.bias, which the network has not",
        ),
    ],
    ids=["filters", "blocks", "unet", "discriminator", "more"],
)
def test_another_network_is_named_by_the_first_wrong_key(values: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"{NAME} does not fit resnet_6blocks: {sentence}") as found:
        loaded(values)
    assert "--model" in found.value.hint and "--set" in found.value.hint


@pytest.mark.parametrize(("own", "asked"), [(True, False), (False, True)])
def test_a_network_with_or_without_dropout_is_named(own: bool, asked: bool) -> None:
    values = build_generator("resnet_6blocks", ngf=4, dropout=own).state_dict()
    with pytest.raises(UsageError, match=f"it was trained {'with' if own else 'without'} dropout; ") as found:
        loaded(values, dropout=asked)
    assert found.value.hint == f"--set network.dropout={str(own).lower()}"


@pytest.mark.parametrize("values", [[], {}, {"a": 1}, {"model": {}}, {"model": 3}, 7])
def test_what_holds_no_generator_says_so(values: Any) -> None:
    with pytest.raises(UsageError, match=f"{NAME} holds no weights of a generator"):
        generator_weights(values, NAME)
