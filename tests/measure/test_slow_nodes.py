"""Which nodes and links of a fleet are named, in drawn fleets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from gbench.measure.holm import holm
from gbench.measure.slow_nodes import ENOUGH, chances_of_spread, judge_fleet, pairs_in_rounds
from gbench.runfolder.fleet_times import NETWORK
from simulated_fleet import drawn_fleet


@pytest.mark.parametrize("nodes", range(2, 10))
def test_every_pair_meets_once_and_no_node_twice_in_a_round(nodes: int) -> None:
    rounds = pairs_in_rounds(nodes)
    assert len(rounds) == (nodes - 1 if nodes % 2 == 0 else nodes)
    assert sorted(pair for pairs in rounds for pair in pairs) == list(combinations(range(nodes), 2))
    for pairs in rounds:
        met = [node for pair in pairs for node in pair]
        assert len(met) == len(set(met)) == nodes - nodes % 2


def test_holm_rejects_down_to_the_first_that_is_too_likely() -> None:
    assert holm([0.0051, 0.001, 0.2, 0.003], 0.01) == [False, True, False, True]
    assert holm([0.004, 0.0001], 0.01, [0.8, 0.2]) == [True, True]
    assert holm([], 0.01) == []


@pytest.mark.parametrize("probe", ["gemm", "copy", "loader", NETWORK])
@pytest.mark.parametrize("nodes", [3, 4, ENOUGH])
def test_a_node_at_half_speed_is_named_alone(nodes: int, probe: str) -> None:
    verdict = judge_fleet(drawn_fleet(np.random.default_rng(3), nodes, 0.01, 0.02, slow=2, probe=probe, by=1.0))
    assert [(one.node, one.probe) for one in verdict.figures if one.named] == [(2, probe)]
    assert verdict.slow_nodes == [2] and verdict.exclude == "--exclude=n2"
    assert not any(link.named for link in verdict.links)  # its links are slow because of it
    (named,) = (one for one in verdict.figures if one.named)
    assert named.low < named.slower < named.high and named.slower == pytest.approx(1.0, abs=0.1)


def test_fleets_of_equal_nodes_are_hardly_ever_named() -> None:
    rng = np.random.default_rng(4)
    verdicts = [judge_fleet(drawn_fleet(rng, nodes, 0.015, 0.05)) for nodes in (3, 4, 8) for _ in range(60)]
    assert sum(not verdict.is_even for verdict in verdicts) <= 3  # more by chance: below 1 in 100


def test_where_nodes_differ_much_a_slower_one_is_no_outlier() -> None:
    rng = np.random.default_rng(5)
    verdicts = [judge_fleet(drawn_fleet(rng, ENOUGH, 0.2, 0.01)) for _ in range(40)]
    assert sum(bool(verdict.slow_nodes) for verdict in verdicts) <= 2


def test_two_slow_nodes_do_not_hide_each_other() -> None:
    times = drawn_fleet(np.random.default_rng(6), 8, 0.01, 0.02, slow=1, by=1.0)
    gemm = times.seconds["gemm"]
    slowed = {
        **times.seconds,
        "gemm": [[2 * one for one in row] if node == 5 else row for node, row in enumerate(gemm)],
    }
    verdict = judge_fleet(times.changed(seconds=slowed))
    assert verdict.exclude == "--exclude=n1,n5"


@pytest.mark.parametrize("nodes", [3, 4, ENOUGH])
def test_a_slow_link_is_named_and_neither_of_its_nodes(nodes: int) -> None:
    times = drawn_fleet(np.random.default_rng(7), nodes, 0.01, 0.02)
    links = [
        link.changed(seconds=[3 * one for one in link.seconds]) if (link.first, link.second) == (0, 2) else link
        for link in times.links
    ]
    verdict = judge_fleet(times.changed(links=[link.values() for link in links]))
    assert [(link.first, link.second) for link in verdict.links if link.named] == [(0, 2)]
    assert not verdict.slow_nodes and not verdict.is_even


def test_of_two_nodes_none_is_named_but_they_differ() -> None:
    rng = np.random.default_rng(8)
    verdict = judge_fleet(drawn_fleet(rng, 2, 0.01, 0.02, slow=1, by=0.5))
    assert verdict.differ and not verdict.is_even
    assert not verdict.slow_nodes and verdict.exclude == ""
    assert judge_fleet(drawn_fleet(rng, 2, 0.01, 0.02)).is_even


def test_the_chance_of_the_spread_is_calibrated() -> None:
    drawn = np.random.default_rng(9).standard_normal((400, ENOUGH))
    chances = np.array([chances_of_spread(row) for row in drawn])
    assert chances.min() > 0
    for level in (0.05, 0.2, 0.5):
        assert np.mean(chances <= level) == pytest.approx(level, abs=0.02)
    assert chances_of_spread([0.0] * (ENOUGH - 1)) == [0.0] * (ENOUGH - 1)
