"""Each switch of `speed` compared with the reference: losses over 30 steps, and exchange of saved state."""

from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support import two_ranks
from torch import Tensor, nn

from gbench.errors import RunFailed
from gbench.pix2pix import Pix2Pix, build_discriminator
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.nets.generators import ResnetGenerator
from gbench.pix2pix.nets.norm import build_norm
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step import apply_switches
from gbench.pix2pix.step.model import KERNELS
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch
from gbench.settings.model_config import SpeedConfig
from small_models import pairs
from spawned_ranks import spawn_ranks

STEPS = 30
# Measured here: rounding stays below 4e-6 over the first steps; then a ReLU somewhere tips over, the networks part, and
# single losses differ by up to 1e-2, their means over ten steps by 1e-3. Another order of summing does the same.
FIRST, ANY, MEAN = 1e-5, 3e-2, 5e-3
SWITCHES: dict[str, dict[str, Any]] = {
    "channels_last": {"channels_last": True},
    "foreach": {"adam": "foreach"},
    "fused": {"adam": "fused"},
    "blocks": {"compile": "blocks"},
    "networks": {"compile": "networks"},
    "together": {"channels_last": True, "adam": "fused", "compile": "blocks"},
}


def build(switches: SpeedConfig, dropout: bool = True, **options: Any) -> Pix2Pix:
    """A small model with one residual block, as compilation dominates the time of a test."""
    torch.manual_seed(0)
    generator = ResnetGenerator(3, 3, 4, build_norm("batch"), dropout, blocks=1)
    networks = [generator, build_discriminator("n_layers", ndf=4, n_layers=1)]
    prepared = [apply_switches.prepare(network, switches) for network in networks]
    return Pix2Pix(*prepared, adam=apply_switches.adam_options(switches), **options)


def curves(switches: SpeedConfig, dropout: bool = True, seed: int = 1) -> Tensor:
    """(STEPS, 4) losses."""
    model = build(switches, dropout)
    step = apply_switches.step_of(model, switches)
    torch.manual_seed(seed)
    return torch.stack([torch.stack(list(step(*pairs(seed=number)).values())) for number in range(STEPS)])


@cache
def reference(dropout: bool = True, seed: int = 1) -> Tensor:
    return curves(SpeedConfig(), dropout, seed)


def apart(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs() / other.abs()


def assert_agree(one: Tensor, other: Tensor) -> None:
    assert apart(one[:3], other[:3]).max() < FIRST
    assert apart(one, other).max() < ANY
    assert apart(one[-10:].mean(0), other[-10:].mean(0)).max() < MEAN


def test_another_summing_order_agrees_but_not_other_dropout() -> None:
    """Check the tolerances of the tests below."""
    with torch.backends.mkldnn.flags(enabled=False):  # torch's own convolutions in place of oneDNN's
        other_kernels = curves(SpeedConfig())
    assert not torch.equal(other_kernels, reference())
    assert_agree(other_kernels, reference())
    with pytest.raises(AssertionError):
        assert_agree(reference(seed=2), reference())


@pytest.mark.parametrize("name", ["foreach", "fused", "blocks", "networks"])
def test_losses_agree_to_rounding_under_the_same_dropout(name: str) -> None:
    assert_agree(curves(SpeedConfig(**SWITCHES[name])), reference())


@pytest.mark.parametrize("name", ["channels_last", "together"])
def test_channels_last_changes_dropout_and_nothing_else(name: str) -> None:
    """Random numbers are drawn in the order of memory. Without dropout the losses agree to rounding, with it as two
    seeds of dropout do."""
    assert_agree(curves(SpeedConfig(**SWITCHES[name]), dropout=False), reference(dropout=False))
    seeds = torch.stack([reference(seed=seed)[-10:].mean(0) for seed in range(1, 7)])
    found = curves(SpeedConfig(**SWITCHES[name]))[-10:].mean(0)
    assert ((found - seeds.mean(0)).abs() < 4 * seeds.std(0)).all()


@pytest.mark.parametrize("name", ["channels_last", "fused", "together"])
def test_a_deterministic_run_repeats_its_losses_bitwise(name: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (curves(SpeedConfig(**SWITCHES[name])) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first, second)


def test_the_compiler_of_a_deterministic_run_is_told() -> None:
    determinism.choose_kernels(deterministic=True, one_size=True)
    try:
        apply_switches.prepare(build(SpeedConfig()).generator, SpeedConfig(compile="networks"))
        assert getattr(torch._inductor.config, "deterministic", True)  # torch 2.7 has none
    finally:
        torch.use_deterministic_algorithms(False)


def test_with_no_switch_on_the_step_is_the_models_own() -> None:
    model = build(SpeedConfig())
    assert apply_switches.step_of(model, SpeedConfig()) == model.train_step
    assert apply_switches.adam_options(SpeedConfig()) == {}
    assert not any(module._compiled_call_impl for module in model.generator.modules())


def test_no_switch_changes_the_keys_of_a_state_dict() -> None:
    plain = build(SpeedConfig())
    for switches in SWITCHES.values():
        other = build(SpeedConfig(**switches))
        for net, its in ((plain.generator, other.generator), (plain.discriminator, other.discriminator)):
            assert net.state_dict().keys() == its.state_dict().keys()
            assert all(map(torch.equal, net.state_dict().values(), its.state_dict().values()))


@pytest.mark.parametrize("after", ["reference", "channels_last", "foreach", "fused"])
@pytest.mark.parametrize("before", ["reference", "channels_last", "fused"])
def test_a_checkpoint_goes_on_with_another_profiles_kernels(before: str, after: str) -> None:
    options = {"reference": SpeedConfig(), **{name: SpeedConfig(**on) for name, on in SWITCHES.items()}}
    saved_by = build(options[before], dropout=False)
    for number in range(3):
        apply_switches.step_of(saved_by, options[before])(*pairs(seed=number))
    file = io.BytesIO()
    torch.save(saved_by.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    resumed = build(options[after], dropout=False)
    resumed.load_state_dict(copy.deepcopy(state))
    fresh = build(options[after], dropout=False)
    for optimizer, own in ((resumed.optimizer_G, fresh.optimizer_G), (resumed.optimizer_D, fresh.optimizer_D)):
        assert [optimizer.param_groups[0][key] for key in KERNELS] == [own.param_groups[0][key] for key in KERNELS]
        for weight, moments in optimizer.state.items():
            assert moments["exp_avg"].stride() == weight.stride()
    losses, expected = (
        [list(apply_switches.step_of(model, switches)(*pairs(seed=number)).values()) for number in range(3, 6)]
        for model, switches in ((resumed, options[after]), (saved_by, options[before]))
    )
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adam", ["default", "foreach", "fused"])
def test_the_schedule_decides_the_rate_of_every_adam(adam: str) -> None:
    switches = SpeedConfig(adam=adam)
    model = build(switches)
    scheduler = build_scheduler(model.optimizer_G, "linear", 1, 1, 50)
    step = apply_switches.step_of(model, switches)
    moved = []
    for _ in range(3):  # linear: half the rate, then none
        start_epoch(scheduler)
        before = copy.deepcopy(list(model.generator.parameters()))
        step(*pairs())
        moved.append(
            max((new - old).abs().max().item() for new, old in zip(model.generator.parameters(), before, strict=True))
        )
    assert moved[0] == pytest.approx(1e-4, rel=0.01)  # Adam's first step is as long as its rate
    assert moved[1:] == [0, 0]


@pytest.mark.parametrize("adam", ["foreach", "fused"])
def test_an_overflow_skips_the_step_of_every_adam(adam: str) -> None:
    model = build(SpeedConfig(adam=adam), autocast_dtype=torch.float16)
    model.scaler.load_state_dict(model.scaler.state_dict() | {"scale": 2.0**60})
    before = copy.deepcopy(list(model.generator.parameters()))
    model.train_step(*pairs())
    assert all(map(torch.equal, before, model.generator.parameters()))
    assert model.scaler.get_scale() == 2.0**59


def _of_torch(network: nn.Module) -> nn.Module:
    """In DistributedDataParallel with torch's defaults, which copy the gradients back from the buckets."""
    named = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    no_broadcast = {name: False for name in ("forward_sync_buffers", "broadcast_buffers") if name in named}
    return nn.parallel.DistributedDataParallel(network, **dict([*no_broadcast.items()][:1]))


def _rank_losses(rank: int, folder: Path, count: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=count)
    ranks, losses = Ranks(rank, count, torch.device("cpu")), {}
    for name, switches in {"torch": None, "ours": SpeedConfig(), "static": SpeedConfig(static_graph=True)}.items():
        bare = build(SpeedConfig(), dropout=False)
        networks = bare.generator, bare.discriminator
        wrap = _of_torch if switches is None else partial(ranks.wrap, speed=switches)
        model = Pix2Pix(*map(wrap, networks))
        found = [list(model.train_step(*pairs(seed=10 * rank + number)).values()) for number in range(6)]
        views = next(bare.generator.parameters()).grad._base is not None
        losses[name] = torch.tensor(found), [*bare.generator.parameters(), *bare.discriminator.parameters()], views
    torch.save(losses, folder / f"{rank}.pt")
    dist.destroy_process_group()


@two_ranks
def test_bucket_views_and_a_static_graph_leave_the_losses(tmp_path: Path) -> None:
    """Views of buckets to the last bit, weights too."""
    spawn_ranks(_rank_losses, (tmp_path, 2), 2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    assert not torch.equal(first["ours"][0], second["ours"][0])
    for rank in (first, second):
        assert torch.equal(rank["ours"][0], rank["torch"][0])
        assert all(map(torch.equal, rank["ours"][1], rank["torch"][1]))
        assert (rank["torch"][2], rank["ours"][2]) == (False, True)
        torch.testing.assert_close(rank["static"][0], rank["torch"][0], rtol=1e-5, atol=1e-7)


def test_a_tuning_with_another_torch_is_refused(make_spec: Callable[..., Any]) -> None:
    spec = make_spec()
    apply_switches.require_tuned_here(spec)
    by = {"run_id": "tune", "utc": "2026-01-01T00:00:00.000+00:00", "ratio": 1.2}
    for version, fits in ((torch.__version__, True), ("1.0", False)):
        tuned = type(spec).model_validate({**spec.model_dump(), "tuned_by": {**by, "torch_version": version}})
        if fits:
            apply_switches.require_tuned_here(tuned)
        else:
            with pytest.raises(RunFailed, match=r"tuned with torch 1\.0, this is"):
                apply_switches.require_tuned_here(tuned)
