"""Adam with the bits and the state of torch's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.profiler import profile

from gbench.pix2pix.nets.adam import Adam

SIZES = ((3, 7), (64,), (1,), (16, 8, 3, 3), (1000, 41))  # with and without a rest beyond whole vectors


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_adam_is_torchs(options: dict[str, bool]) -> None:
    results = []
    for optimizer_class in (torch.optim.Adam, Adam):
        torch.manual_seed(1)
        network = torch.nn.Linear(3, 3)
        optimizer = optimizer_class(network.parameters(), lr=1e-2, betas=(0.5, 0.999), **options)
        for _ in range(5):
            optimizer.zero_grad()
            network(torch.randn(2, 3)).square().mean().backward()
            optimizer.step()
        results.append({**network.state_dict(), **optimizer.state_dict()["state"][0]})
        again = optimizer_class(network.parameters(), **options)
        again.load_state_dict(optimizer.state_dict())
        assert again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def weights_of(count: int = 1) -> list[torch.nn.Parameter]:
    torch.manual_seed(count)
    return [torch.nn.Parameter(torch.randn(size)) for size in SIZES]


def take_steps(optimizer: torch.optim.Optimizer, numbers: range) -> None:
    """One step for each number, with other gradients and another rate."""
    (group,) = optimizer.param_groups
    for number in numbers:
        torch.manual_seed(number)
        for weight in group["params"]:
            weight.grad = torch.randn_like(weight) * 10.0 ** -(number % 7)
        group["lr"] = 1e-3 / (1 + number)
        optimizer.step()


def all_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    (group,) = optimizer.param_groups
    moments = [value for state in optimizer.state_dict()["state"].values() for _, value in sorted(state.items())]
    return [*group["params"], *moments]


def test_a_checkpoint_passes_between_torchs_adam_and_ours() -> None:
    """Bit for bit, whichever takes the first steps, and after a step without one of the gradients."""
    results = []
    for first, second in ((torch.optim.Adam, Adam), (Adam, torch.optim.Adam), (Adam, Adam)):
        begun = first(weights_of(), betas=(0.5, 0.999))
        take_steps(begun, range(4))
        resumed = second(copy.deepcopy(begun.param_groups[0]["params"]), betas=(0.5, 0.999))
        resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
        take_steps(resumed, range(4, 8))
        resumed.param_groups[0]["params"][1].grad = None
        resumed.step()
        take_steps(resumed, range(8, 12))
        results.append(all_of(resumed))
    assert all(all(map(torch.equal, results[0], other)) for other in results[1:])


@pytest.mark.parametrize("options", [{"weight_decay": 0.1}, {"amsgrad": True}, {"maximize": True}])
def test_what_only_torchs_loop_knows_is_left_to_it(options: dict[str, Any]) -> None:
    both = [kind(weights_of(), **options) for kind in (torch.optim.Adam, Adam)]
    for optimizer in both:
        take_steps(optimizer, range(4))
    assert all(map(torch.equal, all_of(both[0]), all_of(both[1])))


def test_a_step_takes_half_of_torchs_operations() -> None:
    counts = []
    for kind in (torch.optim.Adam, Adam):
        optimizer = kind(weights_of())
        take_steps(optimizer, range(2))
        with profile() as seen:
            optimizer.step()
        counts.append(sum(one.count for one in seen.key_averages() if one.key.startswith("aten::")))
    assert counts[1] < 0.5 * counts[0]
