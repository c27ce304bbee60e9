"""The cost of exchanging gradients, on ranks that are simulated here."""

from __future__ import annotations

from typing import Any

import pytest

from gbench.cli.shared.output import summary_lines
from gbench.measure.exchange import exposed_s
from gbench.measure.summary import summarize
from gbench.measure.telemetry.sample_columns import Telemetry
from gbench.runfolder.environment_facts import EnvironmentFacts
from gbench.runfolder.host_facts import HostFacts
from gbench.runfolder.run_result import RunResult
from gbench.runfolder.step_columns import Steps
from gbench.runfolder.steps import Step
from gbench.settings.model_config import ScheduleConfig

STEPS, STEP_S, WARMUP = 60, 0.1, 10
BUCKETS = {"G": [1_000_000, 20_000_000], "D": [1_000_000]}
WORK = {"work_per_image": {"flop": 10**9, "bytes": 10**9}, "precision": {"ran": "FP32"}}


def all_reduce(size: int, median_s: float) -> dict[str, Any]:
    rate = size / median_s / 1e9
    names = ("median_s", "fastest_s", "slowest_s")
    return {"bytes": size, "repetitions": 9, **dict.fromkeys(names, median_s), "algorithm_gb_s": rate, "bus_gb_s": rate}


def timed(waits_s: list[tuple[float, float]], steps: range = range(1, STEPS, 2)) -> list[list[dict[str, Any]]]:
    """Every second step of each rank, which waits so long for the gradients of G and of D."""
    hidden_s = {"G": 0.02, "D": 0.0}
    return [
        [{"step": step, "hidden_s": hidden_s, "exposed_s": {"G": of_G, "D": of_D}} for step in steps]
        for of_G, of_D in waits_s
    ]


def summarized(ranks: int = 2, big_s: float = 0.03, **facts: Any) -> RunResult:
    probed = [all_reduce(4, 0.0002), all_reduce(1_000_000, 0.002), all_reduce(20_000_000, big_s)]
    network = {"backend": "gloo", "buckets": BUCKETS, "all_reduce": probed}
    environment = EnvironmentFacts.model_validate({"network": network, **WORK, **facts})
    steps = Steps.of(
        Step(n, 1, 2, 0.0, STEP_S, n * STEP_S, 0.0, warmup=n <= WARMUP, losses={}, between_s=0.0)
        for n in range(1, STEPS + 1)
    )
    found = summarize([steps] * ranks, environment, Telemetry(), ScheduleConfig())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("hidden_s", "buckets_s", "left_s"),
    [
        (1.0, [0.3], 0.3),  # its only bucket is ready at the end
        (1.0, [0.2, 0.3], 0.3),  # the first is done by then
        (1.0, [1.4, 0.3], 0.7),  # the first goes on when the second is ready
        (1.0, [0.6, 0.6, 0.3], 0.5),
        (0.0, [0.2, 0.3], 0.5),
    ],
)
def test_buckets_overlap_with_the_backward_pass(hidden_s: float, buckets_s: list[float], left_s: float) -> None:
    assert exposed_s(hidden_s, buckets_s) == pytest.approx(left_s)


def test_the_last_ranks_wait_is_the_networks() -> None:
    """Rank 1 computes slowly in G: it waits 15 ms there, and rank 0 5 ms more; in D rank 0 is last."""
    found = summarized(exchange=timed([(0.020, 0.001), (0.015, 0.004)]))
    assert found.exchange is not None and found.exchange.timed is not None
    one = found.exchange.timed
    assert (one.steps, one.network_s) == (25, pytest.approx(0.016))  # of steps after the warm-up
    assert one.network_share == pytest.approx(0.16)
    assert found.exchange.alone_s == pytest.approx(0.002 + 0.03 + 0.002)
    assert one.implied_s == pytest.approx(0.03 + 0.002)  # G's first bucket is hidden
    assert one.bound == pytest.approx(0.084 / (0.084 + 0.032))
    shares = [(rank.gradients_last_share, rank.gradients_others_share) for rank in found.rank_waits]
    assert shares == [(0.5, pytest.approx(0.05)), (0.5, pytest.approx(0.03))]
    assert found.limits is not None
    assert found.limits.verdict == "communication-bound: 16% of the step is the exchange of gradients"
    lines = dict(summary_lines(found))
    assert "3 buckets, 22 MB, by gloo: 34 ms by themselves" in lines["exchange"]
    assert "16 ms of a step are not hidden, 16.0%; the gradients of rank 0 are the last in 50%" in lines["exchange"]


def test_waits_that_the_network_does_not_explain_are_no_verdict() -> None:
    """Ranks wait 16 ms in a step for what takes 5 ms by itself: they lack processors, not a network."""
    found = summarized(big_s=0.001, exchange=timed([(0.020, 0.001), (0.015, 0.004)]))
    assert found.limits is not None and not found.limits.verdict.startswith("communication")
    assert found.exchange is not None and found.exchange.timed is not None
    assert found.exchange.timed.network_share == pytest.approx(0.16)


@pytest.mark.parametrize("facts", [{}, {"exchange": [[], []]}, {"exchange": timed([(0.02, 0.0)] * 2, range(1, 9))}])
def test_without_a_timed_step_only_the_network_is_known(facts: dict[str, Any]) -> None:
    found = summarized(**facts)
    assert found.exchange is not None and found.exchange.timed is None
    assert [rank.gradients_last_share for rank in found.rank_waits] == [None, None]
    assert "not hidden" not in dict(summary_lines(found))["exchange"]
    assert "scaling" not in dict(summary_lines(found))


def test_one_rank_and_earlier_folders_have_no_exchange() -> None:
    found = summarized(ranks=1, network=None)
    assert found.exchange is None and "exchange" not in dict(summary_lines(found))


def test_scaling_is_against_one_device_and_the_network() -> None:
    found = summarized(exchange=timed([(0.015, 0.001)] * 2))
    host = HostFacts.model_validate({"one_device": {"throughput": 25.0, "runs": 1, "efficiency": 0.8}})
    text = dict(summary_lines(found, host=host))["scaling"]
    assert text == (
        "80.0% of one device, by a run with the same batch a device on this machine; "
        "72.4% is implied by the all-reduce before the run"
    )
