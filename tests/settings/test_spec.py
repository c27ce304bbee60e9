"""What a spec says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from gbench.settings.spec import ScheduleConfig


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
