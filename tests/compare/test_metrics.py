"""The figures of a record, from whatever it holds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from drawn_records import drawn, record
from gbench.compare.metrics import METRICS, NORMAL_95, THROUGHPUT, RunFigure, metric_named

OPEN: list[dict[str, Any]] = [
    {},
    {"throughput_interval": None},
    {"throughput_interval": {"low": 90.0}},
    {"throughput_interval": {"high": 110.0}},
    {"throughput_interval": {"low": 0.0, "high": 110.0}},
    {"throughput_interval": {"low": 110.0, "high": 90.0}},
]


@pytest.mark.parametrize("perf", OPEN)
def test_an_interval_without_both_ends_is_none(perf: dict[str, Any]) -> None:
    assert THROUGHPUT.read(record(perf_data={"throughput": 100.0, **perf})) == RunFigure(100.0, 0.0)


def test_the_error_of_a_throughput_is_that_of_its_interval() -> None:
    for low, high in ((95.0, 105.0), (100.0, 100.0)):
        found = THROUGHPUT.read(
            record(perf_data={"throughput": 100.0, "throughput_interval": {"low": low, "high": high}})
        )
        assert found == RunFigure(100.0, pytest.approx(math.log(high / low) / 2 / NORMAL_95))  # type: ignore[arg-type]


def test_memory_is_the_most_of_any_rank_on_gpus_before_the_host() -> None:
    ranks = [{"host_rss_bytes": 2**33, "allocated_bytes": 2**31}, {"host_rss_bytes": 2**34, "allocated_bytes": 2**32}]
    memory = metric_named("memory")
    assert memory.read(record(perf_data={"memory": ranks})) == RunFigure(4.0)
    on_cpu = [{"host_rss_bytes": one["host_rss_bytes"]} for one in ranks]
    assert memory.read(record(perf_data={"memory": on_cpu})) == RunFigure(16.0)
    for odd in (None, {}, [], [{}], 5, [{"allocated_bytes": 0}]):
        assert memory.read(record(perf_data={"memory": odd, "throughput": 1.0})) is None


def test_reconstruction_loss_counts_in_convergence_runs_only() -> None:
    loss = METRICS[-1]
    losses = {"G_GAN": 1.0, "G_L1": 20.0}
    assert loss.read(record(metric_data=losses)) is None
    found = loss.read(record(metric_data=losses, extra={"recipe": "convergence"}))
    assert found is not None and found.value == 20.0


@pytest.mark.parametrize("figure", ["N/A", 0, -1.0, None, True])
def test_what_is_no_positive_number_is_no_figure(figure: object) -> None:
    assert METRICS[0].read(record(perf_data={"throughput": figure, "mean": 1.0})) is None


def test_a_unit_is_that_of_all_records_or_the_usual_one() -> None:
    words, tokens, unsaid = (
        drawn(perf_data={"throughput": 1.0, "throughput_unit": unit}) for unit in ("words/s", "tokens/s", 5)
    )
    assert THROUGHPUT.in_unit_of([words, words]).unit == "words/s"
    assert THROUGHPUT.in_unit_of([words, tokens]).unit == THROUGHPUT.in_unit_of([unsaid]).unit == "img/s"
    assert metric_named("latency-p95").in_unit_of([words]).unit == "s"


def test_a_margin_is_in_the_figures_own_direction() -> None:
    assert THROUGHPUT.margin(0.03) == pytest.approx(-math.log(0.97))
    assert metric_named("memory").margin(0.03) == pytest.approx(math.log(1.03))
