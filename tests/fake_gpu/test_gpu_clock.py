"""The measured loop on a fake GPU: its times against the GPU's own clock, and its waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Answer

from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step
from on_fake_gpu import Mark, read_logs

STEPS = 20
LAUNCH = ("pix2pix_resnet_9blocks", 4, 1)
END = ("false", "ignore_check", "--steps", STEPS, "--warmup", 2)
NS = 1e9
TOLERANCE = 1e-3


def nearest(events: list[Mark | str], at_ns: float) -> int:
    """The place of the first mark of those nearest to a time."""
    marks = [(abs(event.at_ns - at_ns), place) for place, event in enumerate(events) if isinstance(event, Mark)]
    return min(marks)[1]


def chain(folder: Path) -> Iterator[tuple[Step, list[Mark | str]]]:
    """Each step of a run of one rank, and what the GPU's log has of it: from the mark of the previous step's end to
    that of its own. The last step's end is the last mark that the loop waited for."""
    (run,) = (folder / "results").iterdir()
    steps = RunFolder(run).steps(0)
    (events,) = (events for events in read_logs(folder / "fake")[0].values() if len(events) > len(steps))
    reading = max(place for place, event in enumerate(events) if event == "cudaEventSynchronize")
    places = [max(place for place, event in enumerate(events[:reading]) if isinstance(event, Mark))]
    for step in reversed(steps):
        end = events[places[-1]]
        assert isinstance(end, Mark)
        places.append(nearest(events, end.at_ns - step.step_s * NS))
    for step, begin, end_at in zip(steps, places[:0:-1], places[-2::-1], strict=True):
        yield step, events[begin : end_at + 1]


def waits(events: list[Mark | str]) -> list[str]:
    return [event for event in events if isinstance(event, str)]


def test_times_of_steps_are_the_gpus(on_gpu: Callable[..., Answer], tmp_path: Path) -> None:
    """While the host is ahead, a step takes as long as its work; then nothing waits, except at a reading."""
    answer = on_gpu("launch", *LAUNCH, "FP32", *END, settings="schedule.print_every=5", kernel_ns=100_000)
    assert answer.code == 0, answer.err
    busy = 0
    for step, events in chain(tmp_path):
        begin, end = events[0], events[-1]
        assert isinstance(begin, Mark) and isinstance(end, Mark)
        assert step.step_s * NS == pytest.approx(end.at_ns - begin.at_ns, rel=TOLERANCE)
        for part_s in (step.between_s, step.between_s + step.data_s):  # its batch was asked for, and was there
            mark = events[nearest(events, begin.at_ns + part_s * NS)]
            assert isinstance(mark, Mark)
            assert mark.at_ns - begin.at_ns == pytest.approx(part_s * NS, abs=TOLERANCE * step.step_s * NS)
        if end.idle_ns == begin.idle_ns:
            busy += 1
            assert step.step_s * NS == pytest.approx(end.busy_ns - begin.busy_ns, rel=TOLERANCE)
        if step.between_s == 0 and step.step > 1:
            assert waits(events) == []
    assert busy  # the test saw steps in which the host was ahead


def test_in_amp_gradscaler_waits_in_every_step(on_gpu: Callable[..., Answer], tmp_path: Path) -> None:
    answer = on_gpu("launch", *LAUNCH, "AMP", *END, settings="schedule.print_every=5")
    assert answer.code == 0, answer.err
    found = [waits(events) for step, events in chain(tmp_path) if step.between_s == 0 and step.step > 1]
    assert found and all(calls == ["cudaStreamSynchronize"] * 2 for calls in found)  # one for D, one for G
