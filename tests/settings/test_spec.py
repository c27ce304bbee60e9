"""What a spec says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gbench.settings.model_config import ModelConfig, ScheduleConfig


@pytest.mark.parametrize(
    ("values", "epochs", "steps"),
    [
        ({"epochs": 3, "epochs_decay": 2}, 5, 50),
        ({"epochs": 3, "epochs_decay": 2, "max_steps": 21}, 3, 21),  # the last epoch in part
        ({"epochs": 3, "epochs_decay": 2, "max_steps": 20}, 2, 20),
        ({"epochs": 3, "epochs_decay": 2, "max_steps": 80}, 8, 80),  # epochs repeated
        ({"epochs": 3, "epochs_decay": 2, "until_ci": 0.01}, 5, None),  # the interval decides
        ({"epochs": 3, "epochs_decay": 2, "until_ci": 0.01, "max_steps": 30}, 3, 30),
    ],
)
def test_how_long_a_run_sets_out_to_be(values: dict[str, Any], epochs: int, steps: int | None) -> None:
    schedule = ScheduleConfig(**values)
    assert schedule.planned_epochs(10) == epochs
    assert schedule.planned_steps(10) == steps


@pytest.mark.parametrize(
    ("section", "values", "wrong"),
    [
        ("data", {"load_size": True}, "should be a number"),  # not one pixel
        ("data", {"max_dataset_size": False}, "should be a number"),
        ("optim", {"lr": True}, "should be a number"),
        ("optim", {"lr": float("inf")}, "finite"),
        ("measure", {"hang_seconds": float("inf")}, "finite"),
        ("data", {"load_size": 2**31}, "less than 2147483648"),
        ("schedule", {"epochs": 10**40}, "less than 2147483648"),
    ],
)
def test_a_number_is_one_that_the_run_can_take(section: str, values: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        ModelConfig(**{section: values})
