"""Predictions of a step on many nodes: their parts, and the command."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Answer

from drawn_records import record
from gbench.cndb.record import Record
from gbench.cndb.record_file import save
from gbench.compare.predict import (
    MOST_NODES,
    NetworkProbe,
    all_reduce_s,
    as_rows,
    network_of,
    node_of,
    predict,
    slowest_of,
)
from gbench.errors import UsageError
from golden import check_golden

Gbench = Callable[..., Answer]
STEP = {"mean_s": 0.1, "median_s": 0.1, "std_s": 0.0, "p5_s": 0.099, "p95_s": 0.101, "p99_s": None}
EXPONENTIAL = {level: -math.log(1 - level) for level in (0.05, 0.5, 0.95, 0.99)}


def exchange(bucket_s: float = 0.021, timed: bool = True, slowest: float = 1.0) -> dict[str, Any]:
    """slowest: the longest all-reduce, as a multiple of the median."""

    def one(size: int, median_s: float) -> dict[str, Any]:
        times = {"fastest_s": median_s / slowest**0.5, "median_s": median_s, "slowest_s": median_s * slowest}
        return {"bytes": size, "repetitions": 1, "algorithm_gb_s": 1.0, "bus_gb_s": 1.0, **times}

    torch = {"steps": 9, "network_s": 0.04, "network_share": 0.3, "implied_s": 0.04, "bound": 0.7}
    return {
        "backend": "gloo",
        "buckets": {"G": [1000, 1000], "D": [1000]},
        "all_reduce": [one(4, 0.001), one(1000, bucket_s)],
        "alone_s": 3 * bucket_s,
        "timed": {**torch, "hidden_s": {"G": 0.03, "D": 0.0}} if timed else None,
    }


def a_record(devices: int = 1, nodes: int = 1, step_s: float = 0.1, tail: bool = False, **extra: Any) -> Record:
    """tail: one step of a hundred takes twice as long."""
    step = {name: value and value * step_s / 0.1 for name, value in STEP.items()}
    if tail:
        step |= {"p5_s": 0.8 * step_s, "p95_s": 1.3 * step_s, "p99_s": 2 * step_s}
    changes = {"dev_num": devices, "batch_size": 4 * devices}
    return record(
        perf_data={"throughput": 4 * devices / step_s, "throughput_unit": "img/s", "step": step},
        extra={"spec": {"nodes": nodes}, **extra},
        **changes,
    )


ONE, TWO = a_record(), a_record(2, 2, step_s=0.14, exchange=exchange())


def network(backend: str = "gloo", ranks: int = 2) -> NetworkProbe:
    return NetworkProbe(ranks, backend, latency_s=0.002, buckets={}, hidden_s={}, step_s=0.1)


def test_a_ring_has_two_messages_a_rank_and_sends_almost_twice() -> None:
    assert all_reduce_s(network(), 0.012, 2) == pytest.approx(0.012)  # as it was measured
    assert all_reduce_s(network(), 0.012, 4) == pytest.approx(3 * 0.002 + 1.5 * 0.010)
    assert all_reduce_s(network(ranks=4), 0.012, 2) == pytest.approx(0.002 / 3 + 0.010 / 1.5)


def test_nccl_takes_a_tree_where_that_is_faster() -> None:
    assert all_reduce_s(network("nccl"), 0.012, 2) == pytest.approx(0.012)
    assert all_reduce_s(network("nccl"), 0.012, 1024) == pytest.approx(10 * 0.002 + 2 * 0.010)
    assert all_reduce_s(network("gloo"), 0.012, 1024) > 2


@pytest.mark.parametrize("nodes", [2, 16, 1024])
def test_the_slowest_of_many_is_an_extreme_value(nodes: int) -> None:
    """Of exponential times the mean of the slowest is the sum of 1/n."""
    expected = sum(1 / one for one in range(1, nodes + 1))
    assert slowest_of(EXPONENTIAL, nodes) == pytest.approx(expected, rel=0.03)
    assert slowest_of(dict.fromkeys(EXPONENTIAL, 0.1), nodes) == pytest.approx(1.0)


def test_the_parts_of_a_step_add_up() -> None:
    """Computing takes 0.1 s. Of 63 ms of exchange the first bucket of G can be hidden, so 42 to 63 ms are not."""
    one, two, many = predict(node_of(ONE), network_of(TWO, ONE), [1, 2, 64])
    assert one.step_s == pytest.approx(0.1, rel=0.01) and one.network_share == 0
    assert (one.throughput, one.devices) == (4 / one.step_s, 1)
    assert two.step_s == pytest.approx(0.1 + (0.042 + 0.063) / 2, rel=0.01)
    assert 0.135 < two.step_low_s < 0.145 and 0.16 < two.step_high_s < 0.17
    assert two.throughput_low < two.throughput < two.throughput_high
    assert many.step_s > 0.1 + 3 * 0.02 * 2 and many.efficiency < two.efficiency < 1


def test_earlier_runs_say_how_much_runs_differ() -> None:
    steady = a_record(between_runs={"low": 39.9, "high": 40.1, "half_width_share": 0.002, "runs": 9, "level": 0.95})
    assert node_of(steady).run_sd == pytest.approx(0.001, rel=0.03)
    assert node_of(ONE).run_sd == 0.03


def test_ranks_of_one_node_exchange_already() -> None:
    node = node_of(a_record(2, step_s=0.14, exchange=exchange()))
    assert (node.devices, node.batch, node.own_exchange_s) == (2, 8, 0.04)
    one = predict(node, network_of(TWO, ONE), [1])[0]
    assert one.step_s == pytest.approx(0.14, rel=0.01) and one.devices == 2


VARIED = a_record(between_runs={"low": 39.0, "high": 41.0, "half_width_share": 0.025, "runs": 9, "level": 0.95})
WIDE = ONE.model_copy(update={"perf_data": {**(ONE.perf_data or {}), "throughput_interval": {"low": 32, "high": 48}}})
PREDICTED: dict[str, tuple[Record, Record]] = {
    "a network of one speed": (ONE, TWO),
    "a network of several speeds": (ONE, a_record(2, 2, step_s=0.14, exchange=exchange(slowest=4.0))),
    "nothing timed": (ONE, a_record(2, 2, step_s=0.14, exchange=exchange(timed=False, slowest=4.0))),
    "timed longer than the steps": (ONE, a_record(2, 2, step_s=0.02, exchange=exchange())),
    "hidden behind a longer step": (a_record(step_s=0.2), TWO),
    "two ranks a node": (a_record(2, step_s=0.14, exchange=exchange()), TWO),
    "runs that differ": (VARIED, TWO),
    "a run whose steps say little": (WIDE, TWO),
    "steps that differ": (a_record(tail=True), TWO),
    "nccl": (ONE, a_record(2, 2, step_s=0.14, exchange={**exchange(), "backend": "nccl"})),
}


def test_all_that_is_predicted() -> None:
    said = []
    for title, (node, probe) in PREDICTED.items():
        found = predict(node_of(node), network_of(probe, node), [1, 2, 3, 64])
        said += [f"== {title}", *map(" | ".join, as_rows(found, "img/s"))]
    check_golden("predictions.txt", "\n".join(said) + "\n")


REFUSED: list[tuple[Record, Record | None]] = [
    (TWO, TWO),
    (ONE, ONE),
    (ONE, None),
    (a_record(2, exchange=exchange(timed=False)), TWO),
    (record(perf_data={"latency": 1.0}), TWO),
    (record(perf_data={"throughput": 1.0}), TWO),
    (record(perf_data={"step": STEP}), TWO),
    (ONE.model_copy(update={"batch_size": None}), TWO),
    (record(perf_data={"throughput": 1.0, "step": {**STEP, "mean_s": 0.0}}), TWO),
    (record(perf_data={"throughput": 1.0, "step": {}}), TWO),
    (ONE, a_record(2, exchange={**exchange(), "all_reduce": []})),
    (ONE, a_record(2, exchange={**exchange(), "all_reduce": 5})),
    (ONE, a_record(2, exchange={**exchange(), "all_reduce": [{}]})),
    (ONE, a_record(1, exchange=exchange())),
    (ONE, a_record(2, exchange={**exchange(), "buckets": {"G": [7, 1000, 5]}})),
    (ONE, a_record(2, exchange={"backend": 1})),
    (a_record(exchange={"backend": 1}), TWO),
    (a_record(2, exchange={**exchange(), "buckets": {"G": [7]}}), None),
    (a_record(between_runs="x"), TWO),
    (ONE, TWO.model_copy(update={"perf_data": {"step": {}}})),
    (ONE, TWO.model_copy(update={"model": "other"})),
]


def test_records_that_do_not_suffice() -> None:
    said = []
    for own, probe in REFUSED:
        with pytest.raises(UsageError) as caught:
            predict(node_of(own), network_of(probe or own, own), [2])
        said.append(f"{caught.value}\n")
    with pytest.raises(UsageError) as caught:
        predict(node_of(ONE), network_of(TWO, ONE), [MOST_NODES + 1])
    assert len(predict(node_of(ONE), network_of(TWO, ONE), [MOST_NODES])) == 1
    check_golden("predictions-refused.txt", "".join([*said, f"{caught.value}\n"]))


def test_the_command(gbench: Gbench, tmp_path: Path) -> None:
    for name, one in (("one", ONE), ("two", TWO)):
        save(one, tmp_path / f"{name}.yaml")
    arguments = ("predict", tmp_path / "one.yaml", "--nodes", "1,2,1024", "--network", tmp_path / "two.yaml")
    answer = gbench(*arguments)
    assert answer.code == 0, answer.err
    assert [line.split()[0] for line in answer.out.splitlines()[:4]] == ["nodes", "1", "2", "1024"]
    assert "all-reduce of 2 ranks by gloo" in answer.out
    assert [one["nodes"] for one in gbench(*arguments, "--json").json] == [1, 2, 1024]
    alone = gbench("predict", tmp_path / "one.yaml", "--nodes", "2")
    assert alone.code == 2 and "give by --network the record of a launch with --nodes 2" in alone.err
    assert gbench("predict", tmp_path / "one.yaml", "--nodes", "2,0").code == 2
    huge = gbench("predict", tmp_path / "one.yaml", "--nodes", "2,1000001", "--network", tmp_path / "two.yaml")
    assert huge.code == 2 and "--nodes 1000001: no more than 1000000 can be predicted" in huge.err
    assert gbench("predict", tmp_path / "none.yaml", "--nodes", "2").code == 2
