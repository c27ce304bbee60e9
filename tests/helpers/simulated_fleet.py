"""The measurements of a fleet, drawn: nodes that differ, and rounds that vary, by normal logarithms."""

from __future__ import annotations

import math

import numpy as np

from gbench.measure.slow_nodes import pairs_in_rounds
from gbench.runfolder.fleet_times import NETWORK, FleetTimes, LinkTimes

PROBES = ("gemm", "copy", "loader")


def drawn_fleet(
    rng: np.random.Generator,
    nodes: int,
    between: float,
    within: float,
    rounds: int = 12,
    repeats: int = 8,
    slow: int | None = None,
    probe: str = "gemm",
    by: float = 0.0,
    bursts: float = 0.0,
) -> FleetTimes:
    """Draw the measurements of a fleet. A round also has a part that all nodes share.

    Args:
        between: standard deviation of the nodes' own speeds. within: of their rounds.
        slow: a node whose `probe` takes longer by the share `by`.
        bursts: share of rounds that take three times as long.
    """

    def noise(*shape: int) -> np.ndarray:
        return rng.normal(0, within, shape) + math.log(3) * (rng.random(shape) < bursts)

    own = {name: rng.normal(0, between, nodes) for name in (*PROBES, NETWORK)}
    if slow is not None:
        own[probe][slow] += np.log1p(by)
    links = [
        LinkTimes(
            first=first,
            second=second,
            seconds=np.exp(max(own[NETWORK][[first, second]]) + noise(repeats)).tolist(),
        )
        for pairs in pairs_in_rounds(nodes)
        for first, second in pairs
    ]
    seconds = {
        name: np.exp(own[name][:, None] + noise(nodes, rounds) + rng.normal(0, 0.1, rounds)).tolist() for name in PROBES
    }
    return FleetTimes(
        hosts=[f"n{node}" for node in range(nodes)],
        work=dict.fromkeys(PROBES, 1.0),
        seconds=seconds,
        link_gb=1.0,
        links=links,
    )
