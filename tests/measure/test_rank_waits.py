"""Whose wait it is, on ranks in lock-step that are simulated here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gbench.cli.shared.output import summary_lines
from gbench.measure.rank_waits import on_one_clock, pace_rank, rank_waits
from gbench.measure.summary import summarize
from gbench.measure.telemetry.sample_columns import Telemetry
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.steps import Step
from gbench.settings.model_config import ScheduleConfig

COMPUTE_S, STARVED_S, JITTER_S = 0.1, 0.02, 1e-4
STEPS = 100


def in_lockstep(waits_s: list[float], seed: int) -> list[Steps]:
    """Ranks that wait so long for each batch, and end each step together but for a jitter of the clock."""
    rng = np.random.default_rng(seed)
    ends = np.cumsum(np.full(STEPS, COMPUTE_S + max(waits_s)) + rng.normal(0, JITTER_S, STEPS))
    ranks = []
    for wait_s in waits_s:
        own = ends + rng.normal(0, JITTER_S, STEPS)
        times = np.diff(own, prepend=0.0)
        ranks.append(
            Steps.of(
                Step(n + 1, 1, 4, wait_s, float(times[n]), float(own[n]), 0.0, warmup=False, losses={}, between_s=0.0)
                for n in range(STEPS)
            )
        )
    return ranks


def result(waits_s: list[float], seed: int, **more: Any) -> RunResult:
    found = summarize(in_lockstep(waits_s, seed), EnvironmentFacts(), Telemetry(), ScheduleConfig(), **more)
    assert found is not None
    return found


@pytest.mark.parametrize("ranks", [2, 8])
def test_the_wait_of_one_starved_rank_is_the_runs(ranks: int) -> None:
    starved = STARVED_S / (COMPUTE_S + STARVED_S)
    before, now = [], []
    for seed in range(30):
        waits_s = [0.0] * ranks
        waits_s[seed % ranks] = STARVED_S
        before.append(result(waits_s, seed, rule=1).data_share)
        found = result(waits_s, seed)
        now.append(found.data_share)
        assert found.pace_rank == seed % ranks
    assert now == pytest.approx([starved] * 30, rel=0.01)
    assert min(before) == 0.0  # the rank with the largest sum is one by chance


def test_ranks_that_wait_alike_have_no_pace_maker() -> None:
    found = result([STARVED_S, STARVED_S], 0)
    assert (found.pace_rank, found.pace) == (None, "")
    assert [one.last_share for one in found.rank_waits] == pytest.approx([0.5, 0.5], abs=0.2)


def test_the_others_wait_is_named_with_the_rank() -> None:
    found = result([0.0, STARVED_S, 0.0], 1)
    first, second, _ = found.rank_waits
    assert (first.data_share, second.data_share) == pytest.approx((0.0, 1 / 6), abs=0.01)
    assert (first.others_share, second.others_share) == pytest.approx((1 / 6, 0.0), abs=0.01)
    said = "rank 1 sets the pace: last in 100% of the steps, the others wait for it 16."
    assert said in dict(summary_lines(found))["without data"]


def test_one_rank_waits_for_no_other() -> None:
    (only,) = rank_waits(in_lockstep([STARVED_S], 0))
    assert (only.last_share, only.others_share) == (1.0, 0.0)
    assert pace_rank([only]) is None


def test_ranks_of_two_hosts_are_compared_by_one_clock() -> None:
    ranks = in_lockstep([0.0, 0.0, STARVED_S, 0.0], seed=1)
    other_clock = [replace(one, end_s=one.end_s + 1234.5) if rank > 1 else one for rank, one in enumerate(ranks)]
    assert pace_rank(rank_waits(other_clock)) != 2 or rank_waits(other_clock)[0].others_share > 1
    moved = on_one_clock(other_clock, per_node=2)
    waits = rank_waits(moved)
    assert pace_rank(waits) == 2
    assert waits[0].others_share == pytest.approx(rank_waits(ranks)[0].others_share, abs=0.01)
    assert on_one_clock(ranks, per_node=4) == ranks
