"""Step streams of several ranks, read while they are written, also across a resumption."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gbench.follow.growing_steps import History
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.settings.spec import RunSpec
from run_folders import fake_losses


def step(number: int, more: float = 0.0) -> Step:
    losses = {name: value + more for name, value in fake_losses(number).items()}
    return Step(number, 1 + (number - 1) // 4, 2, 0.02, 0.1, 0.0, 0.0, False, losses)


def test_losses_are_means_over_ranks_up_to_the_last_common_step(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec(device_count=2))
    history = History(folder)
    history.read()
    assert (history.steps, history.epoch) == (0, 0)
    with StepWriter(folder.path, 0) as first, StepWriter(folder.path, 1) as second:
        first.append(step(number) for number in range(1, 7))
        second.append(step(number, 1.0) for number in range(1, 4))
        history.read()
        assert (history.steps, history.epoch) == (3, 1)
        second.append(step(number, 1.0) for number in range(4, 7))
        history.read()
    assert (history.steps, history.epoch) == (6, 2)
    curves = history.curves()
    assert curves.epochs.tolist() == [1, 1, 1, 1, 2, 2]
    assert curves.losses["G_L1"] == pytest.approx([fake_losses(number)["G_L1"] + 0.5 for number in range(1, 7)])


def test_a_resumed_run_takes_back_what_it_does_again(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    history = History(folder)
    with StepWriter(folder.path, 0) as writer:
        writer.append(step(number) for number in range(1, 8))
    history.read()
    with StepWriter(folder.path, 0, resumed_after=4) as writer:
        history.read()
        assert (history.steps, history.taken_back) == (4, 1)
        writer.append(step(number, 5.0) for number in range(5, 7))
    history.read()
    assert history.curves().losses["D_real"] == pytest.approx([0.6] * 4 + [5.6] * 2)
    whole = History(folder)
    whole.read()
    assert whole.curves().losses["G_L1"].tolist() == history.curves().losses["G_L1"].tolist()


def test_each_line_is_read_once(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    with StepWriter(folder.path, 0) as writer:
        writer.append(step(number) for number in range(1, 5))
    history = History(folder)
    history.read()
    path = folder.path / "steps-rank0.jsonl"
    read = path.stat().st_size
    with StepWriter(folder.path, 0, resumed_after=4) as writer:
        writer.append([step(5)])
    whole = path.read_bytes()
    path.write_bytes(b"x" * read + whole[read:])  # what it has read is of no concern to it
    history.read()
    assert history.steps == 5
