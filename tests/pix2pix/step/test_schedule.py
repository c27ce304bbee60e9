"""Learning-rate tables: entry e is the rate that epoch e (from 1) runs with."""

from __future__ import annotations

import io
import math
import warnings

import pytest
import torch
from torch.optim import Adam

from gbench.errors import UsageError
from gbench.pix2pix import build_scheduler, start_epoch

LR = 2e-4
POLICIES = ["linear", "step", "plateau", "cosine"]


def adam() -> Adam:
    return Adam([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def rates(policy: str, epochs: int, decay: int, iters: int = 50, *, first: int = 1, metric: float = 0.0) -> list[float]:
    """Index e holds epoch e's rate; those before `first` are left out as 0."""
    optimizer = adam()
    scheduler = build_scheduler(optimizer, policy, epochs, decay, iters, first)
    table = [0.0] * first
    for _ in range(first, epochs + decay + 1):
        start_epoch(scheduler, metric)
        optimizer.step()
        table.append(optimizer.param_groups[0]["lr"])
    return table


def test_linear_100_and_100() -> None:
    table = rates("linear", 100, 100)
    assert len(table) == 201
    assert table[1:100] == [LR] * 99
    assert table[100] == pytest.approx(1.9802e-4, rel=1e-5)
    assert table[150] == pytest.approx(LR * 50 / 101)
    assert table[199] == pytest.approx(LR / 101)
    assert table[200] == 0


def test_linear_in_small_and_beyond_its_end() -> None:
    factors = [rate / LR for rate in rates("linear", 3, 2)[1:]]
    assert factors == pytest.approx([1, 1, 2 / 3, 1 / 3, 0])
    optimizer = adam()
    scheduler = build_scheduler(optimizer, "linear", 1, 0, 50)
    for _ in range(3):
        start_epoch(scheduler)
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == 0


def test_linear_taken_up_at_an_epoch_runs_at_that_epochs_rate() -> None:
    assert rates("linear", 100, 100, first=120)[120:] == pytest.approx(rates("linear", 100, 100)[120:])


def test_step_divides_by_ten() -> None:
    table = rates("step", 8, 4, iters=5)
    assert table[1:5] == [LR] * 4
    assert table[5:10] == pytest.approx([LR * 0.1] * 5)
    assert table[10:] == pytest.approx([LR * 0.01] * 3)


def test_cosine_reaches_zero_with_the_constant_epochs() -> None:
    table = rates("cosine", 10, 0)
    assert table[1:] == pytest.approx([LR * (1 + math.cos(math.pi * e / 10)) / 2 for e in range(1, 11)], abs=1e-12)
    assert table[10] == pytest.approx(0, abs=1e-12)


def test_plateau_with_upstreams_constant_metric() -> None:
    table = rates("plateau", 20, 0)
    assert table[1:] == pytest.approx([LR] * 6 + [LR * 0.2] * 6 + [LR * 0.04] * 6 + [LR * 0.008] * 2)


def test_plateau_watches_its_metric() -> None:
    def last_rate(shrink: float) -> float:
        optimizer = adam()
        scheduler = build_scheduler(optimizer, "plateau", 20, 0, 50)
        for epoch in range(20):
            start_epoch(scheduler, metric=10 * shrink**epoch)
            optimizer.step()
        return float(optimizer.param_groups[0]["lr"])

    assert last_rate(shrink=0.98) == LR
    assert last_rate(shrink=0.999) < LR  # less than 1 % of progress in 6 epochs


@pytest.mark.parametrize("policy", POLICIES)
def test_moving_first_warns_nobody(policy: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates(policy, 3, 2)


@pytest.mark.parametrize("policy", POLICIES)
def test_state_goes_through_a_checkpoint(policy: str) -> None:
    whole = rates(policy, 6, 4, iters=3)
    optimizer = adam()
    scheduler = build_scheduler(optimizer, policy, 6, 4, 3)
    for _ in range(5):
        start_epoch(scheduler)
    file = io.BytesIO()
    torch.save((optimizer.state_dict(), scheduler.state_dict()), file)
    file.seek(0)

    optimizer = adam()
    scheduler = build_scheduler(optimizer, policy, 6, 4, 3)
    for part, state in zip((optimizer, scheduler), torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    for epoch in range(6, 11):
        start_epoch(scheduler)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(whole[epoch], abs=1e-15)


def test_unknown_policy_is_answered_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"lr_policy is 'onecycle'.*linear, step, plateau, cosine"):
        build_scheduler(adam(), "onecycle", 1, 1, 1)
