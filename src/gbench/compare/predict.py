"""Predict the step of a run on many nodes, from the record of one node and an all-reduce between some.

The parts, each with its uncertainty, are drawn and added (docs/scaling.md):
- computing and input, as the node's record has them: a run differs from another as runs of a configuration do;
- stragglers: a step takes as long as on the slowest node. The slowest of N independent ones is an extreme value of the
  step times measured, which beyond them have an exponential tail (Coles, An Introduction to Statistical Modeling of
  Extreme Values, 2001); between that and nodes that are slow together;
- the exchange of each bucket, by a ring or a tree (Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005), between all of it
  hidden that DistributedDataParallel can hide (Li et al., PVLDB 13(12), 2020) and none.

Pure functions of their arguments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from gbench.base.invalid import first_problem
from gbench.cndb.record import Record
from gbench.compare.metrics import NORMAL_95, THROUGHPUT, at
from gbench.errors import UsageError
from gbench.measure.exchange import exposed_s
from gbench.measure.steady_state import Floats
from gbench.runfolder.environment_facts import AllReduceFacts
from gbench.runfolder.host_facts import BetweenRuns
from gbench.runfolder.run_result import Exchange, StepTimes

DRAWS, SEED = 4000, 0
LEVELS = (2.5, 50.0, 97.5)  # percentiles of the draws: the prediction and its 95 % interval
POINTS = 2000  # of an integral
MOST_NODES = 1_000_000
TREES = ("nccl",)  # backends that choose the faster of ring and tree; gloo has the ring alone


@dataclass(frozen=True)
class Prediction:
    """Of one number of nodes: a median, and a 95 % interval."""

    nodes: int
    devices: int
    step_s: float
    step_low_s: float
    step_high_s: float
    throughput: float
    throughput_low: float
    throughput_high: float
    efficiency: float
    """Throughput a node as a share of that of one."""
    network_share: float
    """Of the step, in which the network is waited for (median)."""


@dataclass(frozen=True)
class OneNode:
    """One node by its record."""

    devices: int
    batch: int
    step_s: float
    """Mean step."""
    own_exchange_s: float
    """The part of it in which its own ranks wait for their network."""
    quantiles_s: dict[float, float]
    """Of the step times, by level."""
    run_sd: float
    """Standard deviation between runs, as a share of 1."""


@dataclass(frozen=True)
class NetworkProbe:
    """The all-reduce between the ranks of a run, by its record."""

    ranks: int
    backend: str
    latency_s: float
    buckets: dict[str, list[AllReduceFacts]]
    """What was measured of each bucket, by network."""
    hidden_s: dict[str, float]
    """What torch timed that a network can hide; empty: nothing was timed."""
    step_s: float
    """Mean step of that run, without its exchange; 0 with nothing timed."""


def node_of(record: Record) -> OneNode:
    """Raises UsageError: the record is not of one node, or lacks what a prediction needs."""
    nodes, figure = at(record.extra, "spec", "nodes") or 1, THROUGHPUT.read(record)
    if nodes != 1:
        raise UsageError(f"RECORD is of {nodes} nodes", "give the record of one node, and this one by --network")
    step = _read(StepTimes, at(record.perf_data, "step"), "RECORD: perf_data.step")
    if figure is None or record.batch_size is None or step is None or step.mean_s <= 0:
        raise UsageError("RECORD has no throughput and step times", "give the record of a gbench launch")
    exchange = _read(Exchange, at(record.extra, "exchange"), "RECORD: extra.exchange")
    timed = exchange.timed if exchange else None
    if record.dev_num > 1 and timed is None:
        raise UsageError(
            f"RECORD is of {record.dev_num} ranks and does not say how long they waited for each other",
            "give the record of one device, or of more steps",
        )
    between = _read(BetweenRuns, at(record.extra, "between_runs"), "RECORD: extra.between_runs")
    quantiles_s = {0.05: step.p5_s, 0.5: step.median_s, 0.95: step.p95_s}
    return OneNode(
        devices=record.dev_num,
        batch=record.batch_size,
        step_s=step.mean_s,
        own_exchange_s=timed.network_s if timed else 0.0,
        quantiles_s=quantiles_s if step.p99_s is None else {**quantiles_s, 0.99: step.p99_s},
        run_sd=between.half_width_share / NORMAL_95 if between else max(figure.error_share, THROUGHPUT.unknown_sd),
    )


def network_of(record: Record, node: Record) -> NetworkProbe:
    """Raises UsageError: the record has no all-reduce, or one of another model."""
    where = "RECORD" if record is node else "--network"
    found = _read(Exchange, at(record.extra, "exchange"), f"{where}: extra.exchange")
    sizes = _read(list[AllReduceFacts], found and found.all_reduce, f"{where}: extra.exchange.all_reduce")
    if found is None or not sizes or record.dev_num < 2:
        raise UsageError(
            "there is no all-reduce in the record of the network: it is of one device, or of an earlier gbench",
            "give by --network the record of a launch with --nodes 2 of this model",
        )
    if record.model != node.model:
        raise UsageError(f"--network is of {record.model}, RECORD of {node.model}", "give one of the same model")
    by_size = {one.bytes: one for one in sizes}
    if missing := {size for of in found.buckets.values() for size in of} - set(by_size):
        raise UsageError(
            f"{where}: extra.exchange has no all-reduce of {min(missing)} bytes",
            "give the run folder, or measure again",
        )
    step = _read(StepTimes, at(record.perf_data, "step"), f"{where}: perf_data.step")
    whole_s = step.mean_s - found.timed.network_s if step and found.timed else 0.0
    return NetworkProbe(
        ranks=record.dev_num,
        backend=found.backend,
        latency_s=sizes[0].median_s,
        buckets={name: [by_size[size] for size in of] for name, of in found.buckets.items()},
        hidden_s=found.timed.hidden_s if found.timed and whole_s > 0 else {},
        step_s=whole_s,
    )


def _read(kind: Any, values: Any, where: str) -> Any:
    """A part of a record as its type; None if the record lacks it. Raises UsageError: it is none of that type."""
    try:
        return None if values is None else TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise UsageError(
            f"{where} is not as gbench writes it ({first_problem(error)})", "give the run folder, or measure again"
        ) from error


def predict(node: OneNode, network: NetworkProbe, counts: Sequence[int]) -> list[Prediction]:
    """The prediction for each number of nodes. Raises UsageError: more than MOST_NODES."""
    if max(counts) > MOST_NODES:
        raise UsageError(f"--nodes {max(counts)}: no more than {MOST_NODES} can be predicted", "take fewer")
    return [_predict(node, network, count) for count in counts]


def _predict(node: OneNode, network: NetworkProbe, nodes: int) -> Prediction:
    rng = np.random.default_rng(SEED)
    computing_s = (node.step_s - node.own_exchange_s) * np.exp(node.run_sd * rng.standard_normal(DRAWS))
    computing_s = computing_s * (1 + rng.random(DRAWS) * (slowest_of(node.quantiles_s, nodes) - 1))
    exchange_s = np.full(DRAWS, node.own_exchange_s)
    if nodes > 1:
        exchange_s = _exchange_s(node, network, nodes * node.devices, rng)
    step_s = computing_s + exchange_s
    low_s, median_s, high_s = (float(one) for one in np.percentile(step_s, LEVELS))
    images = nodes * node.batch
    return Prediction(
        nodes=nodes,
        devices=nodes * node.devices,
        step_s=median_s,
        step_low_s=low_s,
        step_high_s=high_s,
        throughput=images / median_s,
        throughput_low=images / high_s,
        throughput_high=images / low_s,
        efficiency=node.step_s / median_s,
        network_share=float(np.median(exchange_s / step_s)),
    )


def _exchange_s(node: OneNode, network: NetworkProbe, ranks: int, rng: np.random.Generator) -> Floats:
    """Draws of the exchange that a step waits for: the network's speed, and how much of it computing hides."""
    computing_s = node.step_s - node.own_exchange_s
    pace = computing_s / network.step_s if network.hidden_s else 1.0
    ends = []
    for speed in ("fastest_s", "median_s", "slowest_s"):
        alone_s = left_s = 0.0
        for name, buckets in network.buckets.items():
            times_s = [all_reduce_s(network, getattr(one, speed), ranks) for one in buckets]
            alone_s += sum(times_s)
            left_s += exposed_s(network.hidden_s.get(name, computing_s / 2) * pace, times_s)
        ends.append((alone_s, left_s))
    (fastest_s, median_s, slowest_s), left = (np.array(them) for them in zip(*ends, strict=True))
    place = rng.triangular(0.0, 1.0, 2.0, DRAWS) if slowest_s > fastest_s else np.ones(DRAWS)
    none_s, all_s = (np.interp(place, (0, 1, 2), them) for them in ((fastest_s, median_s, slowest_s), left))
    share = rng.random(DRAWS)
    drawn: Floats = share * all_s + (1 - share) * none_s
    return drawn


def all_reduce_s(network: NetworkProbe, measured_s: float, ranks: int) -> float:
    """The time of an all-reduce between so many ranks, from that between the ranks of the probe.

    A ring of p ranks has 2 (p - 1) messages one after the other and sends 2 (p - 1) / p of the bytes over each link; a
    tree has 2 log2 p messages, and its bytes twice, up and down.
    """
    latency_s = min(network.latency_s, measured_s)
    sending_s = (measured_s - latency_s) * network.ranks / (network.ranks - 1)  # of p without end
    message_s = latency_s / (network.ranks - 1)
    ring_s = message_s * (ranks - 1) + sending_s * (ranks - 1) / ranks
    if network.backend not in TREES:
        return ring_s
    return min(ring_s, message_s * math.ceil(math.log2(ranks)) + sending_s)


def slowest_of(quantiles_s: dict[float, float], nodes: int) -> float:
    """How much longer the slowest of so many independent nodes takes in a step, as a multiple of one (the means)."""
    return _mean_of_slowest(quantiles_s, nodes) / _mean_of_slowest(quantiles_s, 1)


def _mean_of_slowest(quantiles_s: dict[float, float], nodes: int) -> float:
    """An integral over the quantiles; between them, and beyond the last, times are distributed exponentially."""
    levels, values = -np.log1p(-np.array(list(quantiles_s))), np.array(list(quantiles_s.values()))
    places = -np.log1p(-(((np.arange(POINTS) + 0.5) / POINTS) ** (1 / nodes)))
    beyond_s = (values[-1] - values[-2]) / (levels[-1] - levels[-2]) * np.maximum(0.0, places - levels[-1])
    return float((np.interp(places, levels, values) + beyond_s).mean())


def as_rows(predictions: Sequence[Prediction], unit: str) -> list[list[str]]:
    """The table as text, headings first."""
    rows: list[list[Any]] = [["nodes", "devices", "step, s", "95 %", unit, "95 %", "efficiency", "network"]]
    for one in predictions:
        rows.append(
            [
                *(str(one.nodes), str(one.devices), f"{one.step_s:.4g}"),
                f"{one.step_low_s:.4g} to {one.step_high_s:.4g}",
                f"{one.throughput:.4g}",
                f"{one.throughput_low:.4g} to {one.throughput_high:.4g}",
                *(f"{one.efficiency:.0%}", f"{one.network_share:.0%}"),
            ]
        )
    return rows
