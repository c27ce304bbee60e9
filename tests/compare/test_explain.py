"""Differences between two records, the most likely cause first."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from drawn_records import drawn
from gbench.cndb.record import Record, checked
from gbench.compare.causes import FACTS, GPUS, QUANTITIES, Influence
from gbench.compare.comparison import compare
from gbench.compare.explain import explain, in_cycles
from gbench.compare.sides import Run
from gbench.errors import RecordError
from golden import check_golden


def gpu(mhz: float, **more: Any) -> dict[str, Any]:
    return {"sm_mhz": {"mean": mhz}, "foreign": [], **more}


def run(
    data_share: float = 0.05,
    gpus: list[dict[str, Any]] | None = None,
    perf: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    telemetry = {"gpus": gpus or [gpu(1500.0)], "host": {"other_cpus": 0.1}}
    values = {"throughput": 100.0, "data_share": data_share, "telemetry": telemetry, **(perf or {})}
    return drawn(perf_data=values, **changes)


def test_equal_records_have_nothing_to_explain() -> None:
    assert explain([run()], [run()]) == []


def test_the_order_is_work_measured_software_host_minor() -> None:
    base = run(extra={"driver": "550", "kernel": "6.1", "git": {"commit": "a"}})
    new = run(
        data_share=0.145,
        gpus=[gpu(1495.0)],
        train_type="TF32",
        extra={"driver": "560", "kernel": "6.8", "git": {"commit": "a"}},
    )
    found = explain([base], [new])
    assert [(cause.field, cause.influence) for cause in found] == [
        ("precision", Influence.WORK),
        ("data wait", Influence.MEASURED),
        ("driver", Influence.SOFTWARE),
        ("kernel", Influence.HOST),
        ("GPU clock", Influence.MINOR),
    ]
    texts = [cause.text for cause in found]
    assert texts[0] == "precision: FP32 -> TF32 (other work was done, or by another device)"
    assert texts[1] == "data wait: 5.0% -> 14.5%, -10.0% of throughput (the loader kept the device waiting)"
    assert texts[2] == "driver: 550 -> 560 (it compiles and launches kernels, and sets the clocks)"
    assert found[1].throughput_share == pytest.approx(0.855 / 0.95 - 1)
    assert found[4].throughput_share == pytest.approx(1495 / 1500 - 1)


def test_the_greater_of_two_measured_influences_comes_first() -> None:
    found = explain([run()], [run(data_share=0.07, gpus=[gpu(1200.0), gpu(1200.0)])])
    assert [cause.field for cause in found] == ["GPU clock", "data wait"]


def test_throttling_is_told_by_what_it_cost() -> None:
    """NEW does 100 images per second in its clean steps, and 90 over all steps."""
    still = run(perf={"disturbance": {"marked_share": 0.0, "share_by_reason": {}}, "throughput_clean_img_s": 100.0})
    disturbance = {"marked_share": 0.4, "share_by_reason": {"gpu 0: sw_power_cap": 0.4}}
    held = run(perf={"throughput": 90.0, "disturbance": disturbance, "throughput_clean_img_s": 100.0})
    (cause,) = explain([still], [held])
    assert cause.throughput_share == pytest.approx(-0.1)
    assert "throttled steps: 0.0% -> 40.0%, -10.0% of throughput" in cause.text
    assert "gpu 0: sw_power_cap" in cause.text


def test_the_rest_of_the_machine_is_told() -> None:
    base = run(extra={"checks": {}})
    new = run(
        gpus=[gpu(1500.0, foreign=["4711 miner\x1b[31m"])],
        perf={"steady_state": False},
        soft_info={"name": "drawn:1", "image_id": "sha256:2", "cudnn_version": 91002},
        extra={"checks": {"cpu-governor": "powersave on 64 CPUs"}},
    )
    texts = "\n".join(cause.text for cause in explain([base], [new]))
    for line in (
        "other processes on the GPUs: none -> miner?[31m (they use its time and memory)",
        "check cpu-governor: no warning -> powersave on 64 CPUs",
        "runs that were not steady: 0 of 1 -> 1 of 1",
        "image id: not said -> sha256:2",
        "cuDNN: not said -> 91002",
    ):
        assert line in texts


def test_several_runs_are_described_by_means_and_common_figures() -> None:
    base = [run(data_share=share, extra={"driver": "550"}) for share in (0.04, 0.06)]
    new = [run(data_share=0.1, extra={"driver": driver}) for driver in ("550", "560")]
    wait, driver = explain(base, new)
    assert (wait.base, wait.new) == ("5.0%", "10.0%")
    assert (driver.base, driver.new) == ("550", "550 | 560")


def test_any_value_of_a_record_is_shown_without_error() -> None:
    held = {"marked_share": 0.4, "share_by_reason": {"gpu 0: sw_power_cap": 0.4}}
    plain = run(
        perf={"disturbance": held, "throughput_clean_img_s": 101.0},
        hyper_params={"profile": "custom", "speed": {"adam": "fused"}},
        extra={"checks": {"cpu-governor": "powersave"}, "driver": "550", "git": {"commit": "a"}},
    )
    values = plain.model_dump()
    parts = ["perf_data", "hyper_params", "extra"]
    for *above, last in [path for part in parts for path in paths_of(values[part], (part,))]:
        for other in (5, "text", [1, "a", None], {"a": 1, 2: "b"}, None):
            changed = copy.deepcopy(values)
            place = changed
            for key in above:
                place = place[key]
            place[last] = other
            with suppress(RecordError):  # what no record may have
                told = explain([plain], [checked(changed, "a record")])
                assert all(cause.text for cause in told)


def paths_of(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from paths_of(one, (*path, key))


@pytest.mark.parametrize(
    ("mhz", "said"),
    [
        (1425.0, "slower in seconds, same in cycles of the GPU: clocks; throughput a cycle +0.0%, 95 %"),
        (
            1500.0,
            "slower in cycles of the GPU too, so not by its clocks alone: throughput a cycle -5.0%, 95 %",
        ),
        (None, None),
    ],
)
def test_a_loss_is_judged_in_cycles_too(mhz: float | None, said: str | None) -> None:
    sides = []
    for name, level, clock in (("base", 100.0, 1500.0), ("new", 95.0, mhz)):
        gpus = [gpu(clock), gpu(clock)] if clock else [{"foreign": []}]
        rates = [level * (1 + 0.001 * number) for number in (-1, 0, 1, 0.5, -0.5)]
        records = [run(gpus=gpus, perf={"throughput": rate}, extra={"run_id": f"{name} {rate}"}) for rate in rates]
        sides.append([Run(record, name) for record in records])
    found = compare(sides[0], sides[1], [], 0.03, names=["throughput"])
    assert found.verdict == "regression"
    clocks = [note for note in found.notes if "cycle" in note]
    assert [note[: len(said)] for note in clocks] == [said] if said else clocks == []


def test_cycles_of_runs_with_noisy_steps_say_nothing() -> None:
    """15 % with one run a side: more than runs are assumed to vary, less than steps that say 10 %."""

    def at(throughput: float, width: float) -> Record:
        ends = {"low": throughput * (1 - width), "high": throughput * (1 + width)}
        return run(perf={"throughput": throughput, "throughput_interval": ends})

    sure, unsure = (in_cycles([at(100.0, width)], [at(85.0, width)], 0.03) for width in (0.001, 0.1))
    assert sure == (
        "slower in cycles of the GPU too, so not by its clocks alone: throughput a cycle -15.0%, "
        "95 % interval -21.8% to -7.6%"
    )
    assert unsure is None
    assert in_cycles([at(100.0, 0.001)], [at(85.0, 0.001), run(gpus=[{}])], 0.03) is None


def saying(path: tuple[str, ...], value: Any) -> Record:
    """A record with one value at a path; of GPUs, on two, and a third that does not say it."""
    if path[: len(GPUS)] == GPUS:
        value = [nested(path[len(GPUS) :], value), nested(path[len(GPUS) :], value + 2), {}]
        path = GPUS
    least = {"perf_data": {"throughput": 100.0}, "soft_info": {"name": "drawn:1"}, "hard_info": {"name": "OS"}}
    first = value if len(path) == 1 else {**least.get(path[0], {}), **nested(path[1:], value)}
    return drawn(**{**least, path[0]: first})


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def disturbed(share: Any, clean: float | None = 100.0, *reasons: str) -> Record:
    seen = {"marked_share": share, "share_by_reason": dict.fromkeys(reasons, share)}
    return drawn(perf_data={"throughput": 90.0, "throughput_clean_img_s": clean, "disturbance": seen})


VALUES: list[tuple[tuple[str, ...], Any, Any]] = [
    *((path, "one", "other\x1b[2J") for _, path, _, _ in FACTS),
    *((one.path, 0.02, 0.15) if "share" in one.path[-1] else (one.path, 20, 35) for one in QUANTITIES),
    *((one.path, 1, 1 + factor * one.least) for one in QUANTITIES if one.least for factor in (1.0, 0.99)),
    *((("perf_data", "data_share"), 0.0, share) for share in (0.01, 0.0099, 0.001, 0.0009, 1.0)),
    (("extra", "git", "dirty"), False, True),
    (("extra", "env"), {"A": "1", "B": None}, {"A": ["x", 2]}),
    (("extra", "warnings"), [], ["a", "b"]),
    (("extra", "machine"), {"key": "a" * 16, "host_name": "node1"}, {"key": "b" * 16, "host_name": "node2"}),
    (("soft_info", "name"), "drawn:1", "drawn:2"),
    (("batch_size",), 32, 64),
    (("extra", "checks"), {"swap": "is on"}, {"governor": "powersave"}),
    (("perf_data", "steady_state"), True, False),
]
PAIRS = [
    (disturbed(0.1, 100.0, "hot"), disturbed(0.4, 120.0, "hot", "capped")),
    (disturbed(0.4, 120.0, "hot"), disturbed(0.0, 90.0)),
    (disturbed(0.4, 0.0, "hot"), disturbed(0.0, 90.0)),
    (disturbed(0.0, 90.0), disturbed(0.4, None, "hot")),
    (disturbed(None), disturbed(0.4, 90.0, "hot")),
    (run(), run(gpus=[gpu(1500.0, foreign=["12 miner", "7 a b"])])),
]


def test_all_that_is_said_of_causes() -> None:
    pairs = [(saying(path, base), saying(path, new)) for path, base, new in VALUES]
    pairs += [(saying(path, base), saying(("batch_size",), 32)) for path, base, _ in VALUES[:3]]
    causes = [cause for base, new in [*pairs, *PAIRS] for cause in explain([base], [new])]
    check_golden("causes.txt", "".join(f"{cause.influence.name} {cause.text}\n" for cause in causes))
