"""The extra time in each step with which a calibration tests its gates."""

from __future__ import annotations

import time

import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix.step.delay import with_delay
from gbench.settings.literals import STEP_DELAY

CPU = torch.device("cpu")


def step(value: float) -> float:
    return 2 * value


def test_without_the_variable_a_step_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STEP_DELAY, raising=False)
    assert with_delay(step, CPU) is step


def test_a_step_takes_the_time_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STEP_DELAY, "0.02")
    delayed, began = with_delay(step, CPU), time.perf_counter()
    assert [delayed(1.0), delayed(2.0)] == [2.0, 4.0]
    assert time.perf_counter() - began >= 0.04


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "11"])
def test_what_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(STEP_DELAY, text)
    with pytest.raises(UsageError, match=f"variable {STEP_DELAY} '{text}' is no time of at most 10 seconds"):
        with_delay(step, CPU)
