"""Formatting of numbers and labels."""

from __future__ import annotations

import pytest

from gbench.base.words import count
from gbench.reports.text import four, label, rows, seconds, signed, utc


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.123, "0.1230"), (33.382, "33.38"), (999.96, "1000"), (12345.6, "12,346"), (40, "40.00"), (1e-6, "1.000e-06")],
)
def test_four_figures(number: float, text: str) -> None:
    assert four(number) == text


@pytest.mark.parametrize(("time_s", "text"), [(0.0123, "12.30 ms"), (0.99999, "1.000 s"), (5400, "5,400 s")])
def test_seconds(time_s: float, text: str) -> None:
    assert seconds(time_s) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("pytorch_version", "PyTorch version"),
        ("cudnn_conv_fp32_precision", "cuDNN conv FP32 precision"),
        ("memory_bytes", "Memory"),
        ("cpu_mhz", "CPU clock"),
        ("cpu_percent", "CPU load"),
        ("gpus", "GPUs"),
    ],
)
def test_labels(key: str, text: str) -> None:
    assert label(key) == text


def test_rows_of_nested_facts_carry_their_units() -> None:
    facts = {
        "cpu": {"cores": 64},
        "gpus": [{"uuid": "GPU-1", "memory_bytes": 80 * 2**30}],
        "driver": None,
        "conv_tflop_s": 0.5,
    }
    assert list(rows(facts)) == [
        ("CPU, cores", "64"),
        ("GPUs 0, UUID", "GPU-1"),
        ("GPUs 0, memory", "80.0 GiB"),
        ("Driver", "–"),
        ("Conv", "0.5000 TFLOP/s"),
    ]


def test_a_spread_is_one_row_and_a_mappings_unit_holds_within() -> None:
    facts = {
        "sm_mhz": {"mean": 1400.0, "min": 1100, "max": 1410},
        "power_w": {"idle": 55.0, "why": "read before"},
        "data_share": 0.125,
        "step": {"p95_s": 0.5},
    }
    assert list(rows(facts)) == [
        ("SM", "1,400 MHz (1100 MHz to 1410 MHz)"),
        ("Power, idle", "55.00 W"),
        ("Power, why", "read before"),
        ("Data", "12.50 %"),
        ("Step, p95", "0.5000 s"),
    ]


@pytest.mark.parametrize(("share", "text"), [(0.074, "+7.4%"), (-0.0625, "−6.2%"), (0.0, "+0.0%")])
def test_a_change_has_its_sign(share: float, text: str) -> None:
    assert signed(share) == text


def test_utc_keeps_what_it_does_not_know() -> None:
    assert utc("2026-01-02T03:04:05.678+00:00") == "2026-01-02 03:04:05 UTC"
    assert utc("yesterday") == "yesterday"
    assert utc(None) == "–"


def test_counts() -> None:
    assert (count(1, "step"), count(2000, "step")) == ("1 step", "2,000 steps")
