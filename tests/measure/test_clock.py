"""The clock on a device that runs behind the host, and on one that does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gbench.measure.clock import CudaMarks, HostMarks, StepClock
from lagging import LaggingDevice


def run(device: LaggingDevice, clock: StepClock, steps: int, load_s: float, compute_s: float) -> None:
    for _ in range(steps):
        device.host_s += load_s
        clock.batch_ready()
        device.work(compute_s)
        clock.step_done()


def test_on_the_host_steps_are_one_chain_with_the_wait_inside() -> None:
    ticks = iter([0.0, 0.25, 1.0, 1.5, 3.0])
    clock = StepClock(HostMarks(lambda: next(ticks)), now=lambda: 100.0)
    clock.start()
    for _ in range(2):
        clock.batch_ready()
        clock.step_done()
    first, second = clock.read()
    assert (first.data_s, first.step_s, first.end_s) == (0.25, 1.0, 101.0)
    assert (second.data_s, second.step_s, second.end_s) == (0.5, 2.0, 103.0)
    assert clock.read() == []


def test_loading_that_hides_behind_the_device_is_no_wait() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    run(device, clock, steps=10, load_s=0.01, compute_s=0.1)
    times = clock.read()
    assert [time.step_s for time in times[1:]] == pytest.approx([0.1] * 9)
    assert [time.data_s for time in times] == pytest.approx([0.01] + [0.0] * 9)
    assert sum(time.step_s for time in times) == pytest.approx(device.host_s)


def test_loading_slower_than_the_device_is_a_wait() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    run(device, clock, steps=5, load_s=0.3, compute_s=0.1)
    times = clock.read()
    assert [time.step_s for time in times[1:]] == pytest.approx([0.3] * 4)
    assert [time.data_s for time in times[1:]] == pytest.approx([0.2] * 4)


def test_the_loop_never_waits_for_the_device_between_readings() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    run(device, clock, steps=10, load_s=0.0, compute_s=0.1)
    assert device.host_s == 0.0
    assert device.waits == 1  # at the start
    times = clock.read()
    assert device.waits == 2
    assert device.host_s == pytest.approx(1.0)
    assert [time.ahead_s for time in times] == pytest.approx([0.1 * n for n in range(1, 11)])  # handed over at 0


def test_the_chain_goes_on_after_a_reading() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    run(device, clock, steps=2, load_s=0.0, compute_s=0.1)
    clock.read()
    device.host_s += 0.5  # printing
    clock.ask()
    run(device, clock, steps=2, load_s=0.01, compute_s=0.1)
    time, next_time = clock.read()
    assert (time.between_s, time.data_s) == (pytest.approx(0.5), pytest.approx(0.01))
    assert time.step_s == pytest.approx(0.61)
    assert time.end_s == pytest.approx(0.81)
    assert (next_time.between_s, next_time.data_s) == (0.0, pytest.approx(0.0))


def test_work_beside_a_busy_device_costs_the_step_nothing() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    run(device, clock, steps=1, load_s=0.0, compute_s=0.1)
    device.host_s += 0.03
    clock.ask()
    run(device, clock, steps=1, load_s=0.09, compute_s=0.1)
    _, time = clock.read()
    assert time.between_s == 0.0
    assert time.data_s == pytest.approx(0.02)  # asked for at 0.03, at hand at 0.12, the device idle from 0.1 on
    assert time.step_s == pytest.approx(0.12)


@pytest.mark.parametrize("rate", [1 - 5e-5, 1 + 5e-5])
def test_a_drifting_device_clock_is_corrected_at_every_reading(rate: float) -> None:
    """Over an hour, 50 ppm are 0.18 s: longer than a step, so telemetry would not match the steps."""
    device = LaggingDevice(rate)
    clock = StepClock(device, device.now)
    clock.start()
    for _ in range(1800):
        run(device, clock, steps=20, load_s=0.0, compute_s=0.1)
        times = clock.read()
    assert device.host_s == pytest.approx(3600)
    assert [time.step_s for time in times] == pytest.approx([0.1] * 20, rel=1e-4)
    assert times[-1].end_s == pytest.approx(device.host_s, abs=1e-3)
    assert [time.ahead_s for time in times] == pytest.approx([0.1 * n for n in range(1, 21)], abs=1e-3)


def test_a_late_wake_up_does_not_make_steps_end_later() -> None:
    device = LaggingDevice()
    clock = StepClock(device, device.now)
    clock.start()
    for late_s in (0.0, 0.005, 0.0, 0.005):
        device.wakes_late_s = late_s
        run(device, clock, steps=20, load_s=0.0, compute_s=0.1)
        ended_s = device.free_s
        times = clock.read()
        assert times[-1].end_s == pytest.approx(ended_s, abs=1e-3)


def test_waiting_for_a_gpu_keeps_no_core_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}

    class Event:
        def __init__(self, **given: Any) -> None:
            options.update(given)

        def record(self, stream: object) -> None:
            pass

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    CudaMarks(torch.device("cuda")).mark()
    assert options == {"enable_timing": True, "blocking": True}


@pytest.mark.parametrize("passed", [False, True])
def test_marks_of_a_gpu_are_waited_for_and_are_seconds_apart(passed: bool) -> None:
    waited: list[object] = []

    class Event:
        def query(self) -> bool:
            return passed

        def synchronize(self) -> None:
            waited.append(self)

        def elapsed_time(self, later: object) -> float:
            return 1500.0 if later is second else -1500.0

    marks, first, second = CudaMarks(torch.device("cuda")), Event(), Event()
    assert (marks.wait(first), waited) == (not passed, [first])  # type: ignore[arg-type]
    assert marks.between(first, second) == 1.5  # type: ignore[arg-type]
