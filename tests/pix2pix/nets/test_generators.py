"""Generators: parameters, state_dict keys, wiring and range."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gbench.errors import UsageError
from gbench.pix2pix import build_generator

SIZES_PX = {"resnet_9blocks": 32, "resnet_6blocks": 32, "unet_256": 256, "unet_128": 128}
Shapes = dict[str, tuple[int, ...]]


def batch_norms(channels_of: dict[str, int]) -> Shapes:
    shapes: Shapes = {}
    for name, channels in channels_of.items():
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{tensor}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()
    return shapes


def shapes_of(net: torch.nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}


@pytest.mark.parametrize(
    ("netG", "parameters"),
    [
        ("resnet_9blocks", 11_383_427),
        ("resnet_6blocks", 7_841_411),
        ("unet_256", 54_413_955),
        ("unet_128", 41_828_995),
    ],
)
def test_full_size_has_upstreams_number_of_parameters(netG: str, parameters: int) -> None:
    with torch.device("meta"):
        net = build_generator(netG)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_resnet_keys_with_batch_norm_and_dropout() -> None:
    expected: Shapes = {
        "model.1.weight": (4, 3, 7, 7),
        "model.4.weight": (8, 4, 3, 3),
        "model.7.weight": (16, 8, 3, 3),
        "model.16.weight": (16, 8, 3, 3),  # transposed: (in, out, ...)
        "model.19.weight": (8, 4, 3, 3),
        "model.23.weight": (5, 4, 7, 7),
        "model.23.bias": (5,),
    }
    norms = {"model.2": 4, "model.5": 8, "model.8": 16, "model.17": 8, "model.20": 4}
    for block in range(10, 16):
        expected[f"model.{block}.conv_block.1.weight"] = (16, 16, 3, 3)
        expected[f"model.{block}.conv_block.6.weight"] = (16, 16, 3, 3)
        norms |= {f"model.{block}.conv_block.2": 16, f"model.{block}.conv_block.7": 16}
    net = build_generator("resnet_6blocks", 3, 5, ngf=4)
    assert shapes_of(net) == expected | batch_norms(norms)


def test_resnet_keys_with_instance_norm_and_no_dropout() -> None:
    expected: Shapes = {}
    convolutions: Shapes = {
        "model.1": (4, 3, 7, 7),
        "model.4": (8, 4, 3, 3),
        "model.7": (16, 8, 3, 3),
        "model.26": (3, 4, 7, 7),
    }
    for block in range(10, 19):
        convolutions[f"model.{block}.conv_block.1"] = (16, 16, 3, 3)
        convolutions[f"model.{block}.conv_block.5"] = (16, 16, 3, 3)
    for name, shape in convolutions.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    expected |= {"model.19.weight": (16, 8, 3, 3), "model.19.bias": (8,)}
    expected |= {"model.22.weight": (8, 4, 3, 3), "model.22.bias": (4,)}
    assert shapes_of(build_generator("resnet_9blocks", ngf=4, norm="instance", dropout=False)) == expected


@pytest.mark.parametrize("dropout", [True, False])  # a U-Net's dropout ends its level, and so moves no key
def test_unet_keys(dropout: bool) -> None:
    top = "model.model"
    levels = [top, *(f"{top}.1.model" + ".3.model" * depth for depth in range(6))]
    assert levels[2] == "model.model.1.model.3.model"
    down = [4, 8, 16, 32, 32, 32, 32]
    expected: Shapes = {
        f"{top}.0.weight": (4, 3, 4, 4),
        f"{top}.3.weight": (8, 3, 4, 4),
        f"{top}.3.bias": (3,),
        f"{levels[6]}.1.weight": (32, 32, 4, 4),
        f"{levels[6]}.3.weight": (32, 32, 4, 4),
    }
    norms = {f"{levels[6]}.4": 32}
    for depth in range(1, 6):
        outer, inner = down[depth - 1], down[depth]
        expected[f"{levels[depth]}.1.weight"] = (inner, outer, 4, 4)
        expected[f"{levels[depth]}.5.weight"] = (2 * inner, outer, 4, 4)
        norms |= {f"{levels[depth]}.2": inner, f"{levels[depth]}.6": outer}
    net = build_generator("unet_128", ngf=4, dropout=dropout)
    assert shapes_of(net) == expected | batch_norms(norms)


def test_no_norm_leaves_biases_out_too() -> None:
    keys = list(build_generator("resnet_6blocks", ngf=4, norm="none").state_dict())
    assert [key for key in keys if not key.endswith("weight")] == ["model.23.bias"]
    assert len(keys) == 1 + 6 + 6 * 2


@pytest.mark.parametrize("netG", SIZES_PX)
def test_output_is_an_image(netG: str) -> None:
    net = build_generator(netG, 2, 5, ngf=4)
    images = net(torch.randn(2, 2, SIZES_PX[netG], SIZES_PX[netG]))
    assert images.shape == (2, 5, SIZES_PX[netG], SIZES_PX[netG])
    assert images.abs().max() <= 1


def test_dropout_count() -> None:
    def dropouts(netG: str) -> int:
        return sum(isinstance(module, torch.nn.Dropout) for module in build_generator(netG, ngf=2).modules())

    assert {netG: dropouts(netG) for netG in SIZES_PX} == {
        "resnet_9blocks": 9,
        "resnet_6blocks": 6,
        "unet_256": 3,
        "unet_128": 2,
    }


def instance_norm(x: Tensor) -> Tensor:
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + 1e-5).sqrt()


def test_resnet_computes_what_its_weights_say() -> None:
    net = build_generator("resnet_6blocks", ngf=4, norm="instance", dropout=False)
    state = net.state_dict()

    def conv(x: Tensor, name: str, pad: int = 0, **how: int) -> Tensor:
        x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def up(x: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    image = torch.randn(2, 3, 16, 16)
    x = instance_norm(conv(image, "model.1", pad=3)).relu()
    for name in ("model.4", "model.7"):
        x = instance_norm(conv(x, name, stride=2, padding=1)).relu()
    for block in range(10, 16):
        y = instance_norm(conv(x, f"model.{block}.conv_block.1", pad=1)).relu()
        x = x + instance_norm(conv(y, f"model.{block}.conv_block.5", pad=1))
    for name in ("model.16", "model.19"):
        x = instance_norm(up(x, name)).relu()
    torch.testing.assert_close(net(image), conv(x, "model.23", pad=3).tanh())


def test_unet_computes_what_its_weights_say() -> None:
    net = build_generator("unet_128", ngf=2, norm="instance", dropout=False)
    state = net.state_dict()

    def level(x: Tensor, name: str, depth: int) -> Tensor:
        """The output of a level before its input is concatenated. Without in-place ReLU, which must not matter."""
        first, last = depth == 0, depth == 6
        down = f"{name}.0" if first else f"{name}.1"
        up = f"{name}.3" if first or last else f"{name}.5"
        y = F.conv2d(x if first else F.leaky_relu(x, 0.2), state[f"{down}.weight"], state[f"{down}.bias"], 2, 1)
        if not last:
            y = y if first else instance_norm(y)
            y = torch.cat([y, level(y, f"{name}.1.model" if first else f"{name}.3.model", depth + 1)], 1)
        y = F.conv_transpose2d(y.relu(), state[f"{up}.weight"], state[f"{up}.bias"], 2, 1)
        return y.tanh() if first else instance_norm(y)

    image = torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(net(image), level(image, "model.model", 0))


@pytest.mark.parametrize(
    ("wrong", "choices"),
    [
        ({"netG": "resnet_7blocks"}, ["netG", "resnet_7blocks", "resnet_9blocks", "unet_128"]),
        ({"norm": "layer"}, ["norm", "layer", "batch, instance, none"]),
        ({"init_type": "zero"}, ["init_type", "zero", "normal, xavier, kaiming, orthogonal"]),
    ],
)
def test_unknown_names_are_answered_with_the_choices(wrong: dict[str, str], choices: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        build_generator(**({"netG": "unet_128"} | wrong), ngf=2)
    assert all(word in str(error.value) for word in choices)
