"""Facts that a process of their own collects while the ranks start."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from gbench.measure import environment
from gbench.pix2pix.slow_facts import slow_facts, write_slow_facts
from gbench.pix2pix.step.count_ops import work_per_image
from gbench.settings.spec import RunSpec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def not_the_first_count(make_spec: Callable[..., RunSpec]) -> None:
    """The first count in a process is 8 bytes more: the loss makes its two labels, and keeps them."""
    with torch.random.fork_rng():
        work_per_image(make_spec())


def test_rank_0_gets_what_the_process_has_collected(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    reader, writer = os.pipe()
    write_slow_facts(spec, writer)
    collected = slow_facts(spec, CPU, None)
    monkeypatch.setattr(environment, "software", lambda: pytest.fail("collected twice"))
    assert slow_facts(spec, CPU, reader) == collected
    assert collected["work_per_image"]["flop"] > 0 and collected["software"]["pytorch_version"] == torch.__version__


def test_rank_0_collects_them_where_that_process_failed(make_spec: Callable[..., RunSpec]) -> None:
    """torch's random numbers go on as if nothing had been counted."""
    reader, writer = os.pipe()
    os.close(writer)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert slow_facts(make_spec(), CPU, reader)["work_per_image"]["flop"] > 0
    assert torch.equal(torch.rand(3), expected)


def test_a_collector_that_stops_within_its_answer(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    monkeypatch.setattr("gbench.pix2pix.slow_facts.TIMEOUT_S", 0.1)
    reader, writer = os.pipe()
    os.write(writer, b'{"software": ')
    assert slow_facts(spec, CPU, reader) == slow_facts(spec, CPU, None)
    os.close(writer)
