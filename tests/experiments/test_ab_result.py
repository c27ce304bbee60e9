"""The result of a session in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from gbench.compare.metrics import metric_named
from gbench.experiments.ab import SessionResult
from gbench.experiments.block_ratio import BlockRatio, ratio_of_blocks
from gbench.experiments.session import SessionGoal

NARROW, WIDE = BlockRatio(1.25, 1.24, 1.26, 5), BlockRatio(0.8, 0.7, 0.9143, 20)


def found(ratio: BlockRatio | None, metric: str = "throughput", until_ci: float = 0.01) -> SessionResult:
    asked: dict[str, Any] = {"metric": metric, "until_ci": until_ci, "max_blocks": 20, "max_time_s": None}
    return SessionResult(metric_named(metric), SessionGoal(**asked), ratio, medians={}, runs={}, units={}, causes=[])


@pytest.mark.parametrize(
    ("metric", "up", "down"),
    [
        ("throughput", "B is FASTER than A by 25%", "B is SLOWER than A by 20%"),
        ("latency-p95", "B is WORSE, 25% higher than A", "B is BETTER, 20% lower than A"),
        ("memory", "B is WORSE, 25% higher than A", "B is BETTER, 20% lower than A"),
        ("energy", "B is WORSE, 25% higher than A", "B is BETTER, 20% lower than A"),
    ],
)
def test_which_side_is_better_is_the_metrics_own(metric: str, up: str, down: str) -> None:
    title = metric_named(metric).title
    assert found(NARROW, metric).sentence == (
        f"{up}: {title} B/A 1.2500 (95 % interval 1.2400 to 1.2600), 5 blocks of four runs"
    )
    slower = found(WIDE, metric)
    assert (slower.reached, slower.exit_code) == (False, 3)
    assert slower.sentence == (
        f"INCONCLUSIVE, +-14.3% where +-1% was asked for: {down}: {title} B/A 0.8000 (95 % interval 0.7000 to 0.9143), "
        "20 blocks of four runs"
    )
    assert (found(WIDE, metric, until_ci=0.15).reached, found(WIDE, metric, until_ci=0.15).exit_code) == (True, 0)


@pytest.mark.parametrize(
    "ratio", [BlockRatio(1.0, 0.99, 1.01, 9), BlockRatio(1.0, 1.0, 1.01, 9), BlockRatio(1.0, 0.99, 1.0, 9)]
)
def test_an_interval_that_holds_1_tells_no_difference(ratio: BlockRatio) -> None:
    assert not ratio.differs
    assert found(ratio, until_ci=0.02).sentence.startswith(
        "NO DIFFERENCE distinguishable from noise: throughput B/A 1.0000"
    )


def test_what_is_not_enough_says_what_is_missing() -> None:
    assert found(None).sentence == "NOTHING KNOWN YET: no block of four runs is whole"
    assert found(ratio_of_blocks([0.0])).sentence == (
        "INCONCLUSIVE: throughput B/A 1.0000, of one block, which gives no interval"
    )
    three = found(ratio_of_blocks([0.0] * 3))
    assert three.sentence.startswith("INCONCLUSIVE, 4 blocks at least are needed: NO DIFFERENCE")
    assert [found(ratio).exit_code for ratio in (None, ratio_of_blocks([0.0]))] == [3, 3]
