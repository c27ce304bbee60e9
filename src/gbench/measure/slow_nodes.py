"""Which nodes of a fleet are slow, and which links between them, from repeated measurements of each.

A node is named if it is slower than the others by more than a margin, and no more than LEVEL of all fleets without such
a node get a name. It takes up to two tests, both of which must reject (an intersection-union test, Berger 1982):

1. Is it slower by more than the margin? Student's t-test over its rounds, of the logarithm of its time over the median
   of the other nodes in the same round. What slows all nodes alike at a time does not count. The spread of its rounds
   counts as at least the median of all nodes'.
2. Is it outside the spread of the fleet? From ENOUGH nodes on. How far its mean is above that of the faster nodes, in
   their standard deviations, against the same figure of fleets drawn from a normal distribution; the slowest quarter
   does not count for the spread. Fewer nodes do not show how much nodes of a fleet differ: there a larger margin alone
   decides.

The network of a node is slow if it is slower to each of the other nodes: the largest of the p-values of its links
counts, its fastest link is its figure, and a link is compared with those that the node has no part in. A link is slow
by itself if no node is at fault. Nodes and their probes share LEVEL by Holm's procedure, and so do links.
Two nodes have no majority: they differ, or do not, and neither is named.

Pure functions of their arguments. How often a node is named, rightly and wrongly, in simulations: docs/fleet.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations

import numpy as np
from scipy.special import stdtr, stdtrit

from gbench.measure.holm import holm
from gbench.measure.steady_state import Floats
from gbench.runfolder.fleet_times import NETWORK, FleetTimes

LEVEL = 0.01
ENOUGH = 8  # nodes, or links, whose spread can be told
MARGIN, OF_FEW = 0.05, 0.10  # a smaller loss is no fault of a node; of fewer than ENOUGH
NETWORK_MARGIN = 0.20  # two nodes may be at one switch or at two
SLOW_AT_MOST = 4  # a quarter of the nodes may be slow
MAJORITY = 3
RESOLUTION = 1e-3  # relative standard deviation that is there at least
DRAWN = 2_000_000  # normal nodes, in fleets of the same size


@dataclass(frozen=True)
class Figure:
    """One probe of a node, against the other nodes. Shares: 0.5 takes half as long again."""

    node: int
    probe: str
    rate: float
    """TFLOP, GB or images per second."""
    slower: float
    """How much longer it takes than the median of the others, of which `low` and `high` are a 95 % interval."""
    low: float
    high: float
    chance: float
    """Its p-value."""
    named: bool = False


@dataclass(frozen=True)
class Link:
    """The all-reduce between two nodes, against the links that no named node is part of."""

    first: int
    second: int
    gb_s: float
    slower: float
    chance: float
    named: bool = False


@dataclass(frozen=True)
class FleetVerdict:
    hosts: list[str]
    figures: list[Figure]
    links: list[Link]
    slow_nodes: list[int] = field(default_factory=list)
    differ: bool = False
    """Two nodes differ by more than the margin."""

    @property
    def exclude(self) -> str:
        """The option of sbatch that leaves out the slow nodes; empty without any."""
        return f"--exclude={','.join(self.hosts[node] for node in self.slow_nodes)}" if self.slow_nodes else ""

    @property
    def is_even(self) -> bool:
        """No node and no link is slow."""
        return not (self.slow_nodes or self.differ or any(link.named for link in self.links))


@dataclass(frozen=True)
class Mean:
    """The mean of logarithms of times, with its standard error."""

    log: float
    error: float
    dof: int

    def less(self, other: "Mean") -> "Mean":
        """The difference, with the fewer degrees of freedom of the two."""
        error = math.hypot(self.error, other.error)
        return Mean(self.log - other.log, error, min(self.dof, other.dof))

    def chance_within(self, margin: float) -> float:
        """The p-value of the hypothesis that it is at most log(1 + margin)."""
        return float(stdtr(self.dof, (math.log1p(margin) - self.log) / self.error))

    def interval(self) -> tuple[float, float, float]:
        """As shares: the ratio less 1, and its 95 % interval."""
        half = float(stdtrit(self.dof, 0.975)) * self.error
        low, middle, high = (math.expm1(end) for end in (self.log - half, self.log, self.log + half))
        return middle, low, high


def means_of(rows: Sequence[Floats]) -> list[Mean]:
    """The mean of each row; none has a smaller deviation than half of them, as few values may agree by chance."""
    deviations = [float(np.std(row, ddof=1)) for row in rows]
    usual = max(float(np.median(deviations)), RESOLUTION)
    return [
        Mean(float(np.mean(row)), max(own, usual) / math.sqrt(len(row)), len(row) - 1)
        for row, own in zip(rows, deviations, strict=True)
    ]


def judge_fleet(times: FleetTimes) -> FleetVerdict:
    """The verdict on at least two nodes, of each of which there are at least two rounds."""
    figures = [
        figure
        for probe, seconds in times.seconds.items()
        for figure in _node_figures(probe, times.work[probe], np.log(np.array(seconds)))
    ]
    means = means_of([np.log(np.array(link.seconds)) for link in times.links])
    links = {(link.first, link.second): mean for link, mean in zip(times.links, means, strict=True)}
    figures += _network_figures(len(times.hosts), times.link_gb, links)
    rejected = holm([figure.chance for figure in figures], LEVEL)
    if len(times.hosts) < MAJORITY:
        alone = [Link(*pair, times.link_gb / math.exp(mean.log), 0.0, 1.0) for pair, mean in links.items()]
        return FleetVerdict(times.hosts, figures, alone, differ=any(rejected))
    figures = [replace(figure, named=name) for figure, name in zip(figures, rejected, strict=True)]
    slow = sorted({figure.node for figure in figures if figure.named})
    at_fault = {figure.node for figure in figures if figure.named and figure.probe == NETWORK}
    return FleetVerdict(times.hosts, figures, _links(times.link_gb, links, at_fault), slow)


def _node_figures(probe: str, work: float, logs: Floats) -> list[Figure]:
    """The figures of one probe. logs: [node, round]."""
    spread, margin = chances_of_spread(logs.mean(axis=1)), MARGIN if len(logs) >= ENOUGH else OF_FEW
    means = means_of([own - np.median(np.delete(logs, node, axis=0), axis=0) for node, own in enumerate(logs)])
    rates = work / np.exp(np.median(logs, axis=1))
    return [
        Figure(node, probe, float(rates[node]), *mean.interval(), max(mean.chance_within(margin), spread[node]))
        for node, mean in enumerate(means)
    ]


def _network_figures(nodes: int, link_gb: float, links: Mapping[tuple[int, int], Mean]) -> list[Figure]:
    """The figure of each node's network; none where the others have no link."""
    found: list[tuple[Mean, Mean, float]] = []
    for node in range(nodes if nodes >= MAJORITY else 0):
        own = [mean for pair, mean in links.items() if node in pair]
        reference = _middle([mean for pair, mean in links.items() if node not in pair])
        best = min(own, key=lambda mean: mean.log)
        chances = [one.less(reference).chance_within(NETWORK_MARGIN) for one in own]
        found.append((best, best.less(reference), max(chances)))
    spread = chances_of_spread([best.log for best, _, _ in found])
    return [
        Figure(node, NETWORK, link_gb / math.exp(best.log), *less.interval(), max(chance, spread[node]))
        for node, (best, less, chance) in enumerate(found)
    ]


def _links(link_gb: float, links: Mapping[tuple[int, int], Mean], at_fault: set[int]) -> list[Link]:
    """Every link; those of nodes at fault are not judged."""
    judged = {pair: mean for pair, mean in links.items() if at_fault.isdisjoint(pair)}
    spread = dict(zip(judged, chances_of_spread([mean.log for mean in judged.values()]), strict=True))
    found = []
    for pair, mean in links.items():
        others = [other for which, other in judged.items() if which != pair]
        less = mean.less(_middle(others)) if others else Mean(0.0, 1.0, 1)
        chance = max(less.chance_within(NETWORK_MARGIN), spread[pair]) if pair in judged else 1.0
        found.append(Link(*pair, link_gb / math.exp(mean.log), math.expm1(less.log), chance))
    rejected = holm([link.chance for link in found], LEVEL)
    return [replace(link, named=name) for link, name in zip(found, rejected, strict=True)]


def _middle(means: Sequence[Mean]) -> Mean:
    """The median one; of an even number the faster of the two, so that half of them may be slow."""
    return sorted(means, key=lambda mean: mean.log)[(len(means) - 1) // 2]


def chances_of_spread(values: Sequence[float] | Floats) -> list[float]:
    """The p-value of each value as the largest of normal ones; 0 of fewer than ENOUGH, which show no spread."""
    if len(values) < ENOUGH:
        return [0.0] * len(values)
    drawn = _drawn(len(values))
    above = len(drawn) - np.searchsorted(drawn, _standardized(np.array(values)))
    return [float(one) for one in (above + 1) / (len(drawn) + 1)]


def _standardized(values: Floats) -> Floats:
    """How far each is above the mean of its row without the slowest quarter, in standard deviations of the same."""
    count = values.shape[-1]
    faster = np.sort(values, axis=-1)[..., : count - count // SLOW_AT_MOST]
    deviation = np.maximum(faster.std(axis=-1, ddof=1, keepdims=True), RESOLUTION)
    return np.asarray((values - faster.mean(axis=-1, keepdims=True)) / deviation)


@cache
def _drawn(count: int) -> Floats:
    """Sorted figures of normal nodes in fleets of `count`: always the same."""
    fleets = np.random.default_rng(0).standard_normal((DRAWN // count, count))
    return np.sort(_standardized(fleets), axis=None)


def pairs_in_rounds(nodes: int) -> list[list[tuple[int, int]]]:
    """Every pair of nodes once, in as few rounds as possible of pairs that have no node in common (circle method)."""
    places: list[int | None] = [*range(nodes), *([None] if nodes % 2 else [])]
    rounds = []
    for _ in range(len(places) - 1):
        half = len(places) // 2
        facing = zip(places[:half], reversed(places[half:]), strict=True)
        rounds.append(sorted((min(a, b), max(a, b)) for a, b in facing if a is not None and b is not None))
        places = [places[0], places[-1], *places[1:-1]]
    assert sorted(pair for pairs in rounds for pair in pairs) == list(combinations(range(nodes), 2))
    return rounds
