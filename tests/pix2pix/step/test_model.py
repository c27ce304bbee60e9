"""The training step compared with a plain one; freezing, precision and state."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gbench.errors import UsageError
from gbench.pix2pix import Pix2Pix, build_discriminator, build_generator
from small_models import pairs, small_model

LOSSES = ["G_GAN", "G_L1", "D_real", "D_fake"]


def gan_objective(gan_mode: str, logits: Tensor, real: bool) -> Tensor:
    if gan_mode == "vanilla":
        return F.softplus(-logits if real else logits).mean()
    if gan_mode == "lsgan":
        return ((logits - (1.0 if real else 0.0)) ** 2).mean()
    return logits.mean() * (-1 if real else 1)


def plain_step(model: Pix2Pix, gan_mode: str, lambda_L1: float, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
    """The step as in the paper: without freezing and detaching, with explicit gradients."""
    G, D = model.generator, model.discriminator

    def update(optimizer: torch.optim.Optimizer, net: nn.Module, loss: Tensor) -> None:
        weights = list(net.parameters())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, retain_graph=True), strict=True):
            weight.grad = gradient
        optimizer.step()

    fake_B = G(real_A)
    D_fake = gan_objective(gan_mode, D(torch.cat([real_A, fake_B], 1)), False)
    D_real = gan_objective(gan_mode, D(torch.cat([real_A, real_B], 1)), True)
    update(model.optimizer_D, D, D_fake / 2 + D_real / 2)
    G_GAN = gan_objective(gan_mode, D(torch.cat([real_A, fake_B], 1)), True)
    G_L1 = lambda_L1 * (fake_B - real_B).abs().mean()
    update(model.optimizer_G, G, G_GAN + G_L1)
    return {"G_GAN": G_GAN, "G_L1": G_L1, "D_real": D_real, "D_fake": D_fake}


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("gan_mode", ["vanilla", "lsgan", "wgangp"])
def test_steps_equal_plain_ones(gan_mode: str, norm: str) -> None:
    model = small_model(norm, gan_mode=gan_mode, lambda_L1=10.0)
    plain = copy.deepcopy(model)
    for step in range(3):
        batch = pairs(seed=step)
        torch.manual_seed(step)  # the same dropout
        losses = model.train_step(*batch)
        torch.manual_seed(step)
        expected = plain_step(plain, gan_mode, 10.0, *batch)
        # the losses are written differently: float32 rounding
        torch.testing.assert_close(losses, {name: expected[name].detach() for name in losses}, rtol=1e-4, atol=1e-6)
    for net, other in ((model.generator, plain.generator), (model.discriminator, plain.discriminator)):
        for key, tensor in net.state_dict().items():
            if norm == "batch" or key.endswith("weight"):  # a bias before instance norm learns noise
                torch.testing.assert_close(tensor, other.state_dict()[key], rtol=1e-3, atol=1e-5, msg=key)


def test_float64_networks_train_in_float64() -> None:
    model = small_model(lambda_L1=10.0)
    model.generator.double()
    model.discriminator.double()
    plain = copy.deepcopy(model)
    for step in range(3):
        real_A, real_B = (images.double() for images in pairs(seed=step))
        torch.manual_seed(step)  # the same dropout
        losses = model.train_step(real_A, real_B)
        torch.manual_seed(step)
        expected = plain_step(plain, "vanilla", 10.0, real_A, real_B)
        torch.testing.assert_close(losses, {name: expected[name].detach() for name in losses}, rtol=1e-12, atol=0)
    assert model.forward(real_A).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_networks_have_float32_losses(dtype: torch.dtype) -> None:
    model = small_model()
    model.generator.to(dtype)
    model.discriminator.to(dtype)
    real_A, real_B = (images.to(dtype) for images in pairs())
    assert {loss.dtype for loss in model.train_step(real_A, real_B).values()} == {torch.float32}
    assert model.forward(real_A).dtype == torch.float32


def test_defaults_are_upstreams() -> None:
    model = small_model()
    for optimizer in (model.optimizer_G, model.optimizer_D):
        assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (2e-4, (0.5, 0.999))
    assert model.lambda_L1 == 100


def test_losses_come_as_detached_float32_scalars() -> None:
    losses = small_model().train_step(*pairs())
    assert list(losses) == LOSSES
    for loss in losses.values():
        assert (loss.shape, loss.dtype, loss.requires_grad) == ((), torch.float32, False)


def test_discriminator_runs_twice_to_learn_and_once_frozen() -> None:
    model = small_model()
    passes: list[tuple[int, bool]] = []
    model.discriminator.register_forward_pre_hook(
        lambda net, args: passes.append((args[0].shape[0], next(net.parameters()).requires_grad))
    )
    model.train_step(*pairs(count=2))
    assert passes == [(2, True), (2, True), (2, False)]
    assert all(weight.requires_grad for weight in model.discriminator.parameters())


def test_generator_step_leaves_no_gradient_in_the_discriminator() -> None:
    model = small_model(dropout=False)
    before = copy.deepcopy(model)
    real_A, real_B = pairs()
    model.train_step(real_A, real_B)

    fake_B = before.generator(real_A).detach()
    logits_fake = before.discriminator(torch.cat([real_A, fake_B], 1))
    logits_real = before.discriminator(torch.cat([real_A, real_B], 1))
    loss = (gan_objective("vanilla", logits_fake, False) + gan_objective("vanilla", logits_real, True)) / 2
    alone = torch.autograd.grad(loss, list(before.discriminator.parameters()))
    for weight, gradient in zip(model.discriminator.parameters(), alone, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-7)


def test_losses_fall_over_60_steps() -> None:
    """All but G_GAN, which rises as D learns."""
    model = small_model()
    batch = pairs()
    history = [model.train_step(*batch) for _ in range(60)]

    def mean(name: str, steps: slice) -> float:
        return torch.stack([losses[name] for losses in history[steps]]).mean().item()

    for name, part in (("G_L1", 0.75), ("D_real", 0.4), ("D_fake", 0.4)):
        assert mean(name, slice(-10, None)) < part * mean(name, slice(0, 10))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_keeps_losses_and_weights_in_float32(dtype: torch.dtype) -> None:
    model = small_model(autocast_dtype=dtype)
    ran: set[torch.dtype] = set()
    for net in (model.generator, model.discriminator):
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.register_forward_hook(lambda layer, args, output: ran.add(output.dtype))
    exact = small_model()
    torch.manual_seed(2)
    losses = model.train_step(*pairs())
    torch.manual_seed(2)
    expected = exact.train_step(*pairs())
    assert ran == {dtype}
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {weight.dtype for weight in model.generator.parameters()} == {torch.float32}
    torch.testing.assert_close(losses, expected, rtol=0.02, atol=0.02)  # bfloat16 has 8 bits
    assert losses != expected
    assert model.scaler.is_enabled() == (dtype is torch.float16)


def test_overflow_skips_both_updates_and_halves_the_scale_once() -> None:
    model = small_model(autocast_dtype=torch.float16)
    model.scaler.load_state_dict(model.scaler.state_dict() | {"scale": 2.0**60})
    before = copy.deepcopy(list(model.generator.parameters()) + list(model.discriminator.parameters()))
    model.train_step(*pairs())
    after = list(model.generator.parameters()) + list(model.discriminator.parameters())
    assert all(map(torch.equal, before, after))
    assert model.scaler.get_scale() == 2.0**59


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_training_goes_on_from_a_saved_state_unchanged(dtype: torch.dtype | None) -> None:
    model = small_model(autocast_dtype=dtype)
    for step in range(2):
        model.train_step(*pairs(seed=step))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    other = Pix2Pix(build_generator("resnet_6blocks", ngf=4), build_discriminator("basic", ndf=4), autocast_dtype=dtype)
    other.load_state_dict(torch.load(file, weights_only=True))

    results = []
    for either in (model, other):
        torch.manual_seed(5)
        results.append((either.train_step(*pairs(seed=3)), either.generator.state_dict()))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_forward_gives_images_without_a_graph() -> None:
    model = small_model(autocast_dtype=torch.bfloat16)
    real_A, real_B = pairs()
    model.train_step(real_A, real_B)
    assert model.fake_B is not None
    assert model.fake_B.shape == real_B.shape
    assert not model.fake_B.requires_grad
    first, second = model.forward(real_A), model.forward(real_A)
    assert (first.dtype, first.requires_grad) == (torch.float32, False)
    assert not torch.equal(first, second)  # dropout
    model.generator.eval()
    assert torch.equal(model.forward(real_A), model.forward(real_A))


def test_unknown_gan_mode_is_answered_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"gan_mode is 'hinge'.*vanilla, lsgan, wgangp"):
        small_model(gan_mode="hinge")
