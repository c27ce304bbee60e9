"""Discriminators: parameters, state_dict keys, shapes and receptive field."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gbench.errors import UsageError
from gbench.pix2pix import build_discriminator


def test_full_size_has_upstreams_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in build_discriminator("basic").parameters()) == 2_768_705


def test_basic_keys_with_batch_norm() -> None:
    expected = {
        "model.0.weight": (4, 6, 4, 4),
        "model.0.bias": (4,),
        "model.2.weight": (8, 4, 4, 4),
        "model.5.weight": (16, 8, 4, 4),
        "model.8.weight": (32, 16, 4, 4),
        "model.11.weight": (1, 32, 4, 4),
        "model.11.bias": (1,),
    }
    for index, channels in ((3, 8), (6, 16), (9, 32)):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            expected[f"model.{index}.{tensor}"] = (channels,)
        expected[f"model.{index}.num_batches_tracked"] = ()
    net = build_discriminator("basic", ndf=4, n_layers=5)  # basic is three layers, whatever n_layers says
    assert {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()} == expected


def test_n_layers_with_instance_norm_stop_widening_at_eight() -> None:
    net = build_discriminator("n_layers", ndf=2, n_layers=5, norm="instance")
    state = net.state_dict()
    assert list(state) == [f"model.{index}.{kind}" for index in (0, 2, 5, 8, 11, 14, 17) for kind in ("weight", "bias")]
    widths = [state[f"model.{index}.weight"].shape[0] for index in (0, 2, 5, 8, 11, 14, 17)]
    assert widths == [2, 4, 8, 16, 16, 16, 1]


@pytest.mark.parametrize(
    ("norm", "biases"),
    [("batch", ["net.0.bias", "net.3.bias"]), ("instance", ["net.0.bias", "net.2.bias", "net.5.bias"])],
)
def test_pixel_keys(norm: str, biases: list[str]) -> None:
    state = build_discriminator("pixel", ndf=4, norm=norm).state_dict()
    assert [key for key in state if key.endswith("bias")] == biases
    assert {key: tuple(state[f"net.{key}.weight"].shape) for key in (0, 2, 5)} == {
        0: (4, 6, 1, 1),
        2: (8, 4, 1, 1),
        5: (1, 8, 1, 1),
    }


@pytest.mark.parametrize(
    ("netD", "n_layers", "logits_px"),
    [("basic", 3, 30), ("n_layers", 1, 126), ("n_layers", 2, 62), ("n_layers", 4, 14), ("pixel", 3, 256)],
)
def test_logits_at_256_pixels(netD: str, n_layers: int, logits_px: int) -> None:
    net = build_discriminator(netD, ndf=2, n_layers=n_layers)
    assert net(torch.randn(1, 6, 256, 256)).shape == (1, 1, logits_px, logits_px)


@pytest.mark.parametrize(
    ("netD", "convolutions"),
    [
        ("basic", [("model.0", 2, 1), ("model.2", 2, 1), ("model.5", 2, 1), ("model.8", 1, 1), ("model.11", 1, 1)]),
        ("pixel", [("net.0", 1, 0), ("net.2", 1, 0), ("net.5", 1, 0)]),
    ],
)
def test_computes_what_its_weights_say(netD: str, convolutions: list[tuple[str, int, int]]) -> None:
    net = build_discriminator(netD, ndf=4, norm="instance")
    state = net.state_dict()
    image = torch.randn(2, 6, 64, 64)
    x = image
    for place, (name, stride, padding) in enumerate(convolutions):
        if place > 1:
            x = F.instance_norm(x)
        if place > 0:
            x = F.leaky_relu(x, 0.2)
        x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)
    torch.testing.assert_close(net(image), x)


@pytest.mark.parametrize(("netD", "patch_px"), [("basic", 70), ("pixel", 1)])
def test_a_logit_sees_its_patch_and_no_more(netD: str, patch_px: int) -> None:
    net = build_discriminator(netD, ndf=2, norm="none")  # norms look at the whole image
    image = torch.randn(1, 6, 256, 256, requires_grad=True)
    logits = net(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(0) > 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == patch_px


@pytest.mark.parametrize(
    ("wrong", "choices"),
    [
        ({"netD": "patch"}, ["netD", "patch", "basic, n_layers, pixel"]),
        ({"norm": "layer"}, ["norm", "layer", "batch, instance, none"]),
    ],
)
def test_unknown_names_are_answered_with_the_choices(wrong: dict[str, str], choices: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        build_discriminator(**({"netD": "basic"} | wrong), ndf=2)
    assert all(word in str(error.value) for word in choices)
