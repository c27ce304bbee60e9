"""A captured step on a simulated device, which keeps tensors at fixed addresses and replays as CUDA does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from gbench.pix2pix.step.cuda_graph import CudaCapture, GraphedStep, side_stream
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch
from small_models import pairs, small_model

WARM_UP = 3


class Imagined:
    """Captures as CUDA does: runs the Python of a step once and none of its arithmetic; a replay runs the arithmetic on
    what lies at the captured places, and writes the result at the captured place, whatever Python holds by then."""

    def __init__(self, model: Any) -> None:
        self.model, self.beside_steps, self.replays = model, 0, 0

    @contextmanager
    def on_side_stream(self) -> Iterator[None]:
        self.beside_steps += 1
        yield

    def capture(self, step: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        optimizers = self.model.optimizer_G, self.model.optimizer_D
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        rates = [group["lr"] for group in groups]
        assert all(isinstance(rate, Tensor) for rate in rates), "a number would be captured for good"
        lasting = [*self.model.generator.state_dict().values(), *self.model.discriminator.state_dict().values()]
        lasting += [value for one in optimizers for values in one.state.values() for value in values.values()]
        before, noise = [value.clone() for value in lasting], torch.get_rng_state()
        result = step()
        fake_B = self.model.fake_B
        with torch.no_grad():
            for value, old in zip(lasting, before, strict=True):
                value.copy_(old)
        torch.set_rng_state(noise)

        def replay() -> None:
            self.replays += 1
            numbers = [group["lr"] for group in groups]
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            result.copy_(step())
            fake_B.copy_(self.model.fake_B)
            for group, number in zip(groups, numbers, strict=True):
                group["lr"] = number

        return result, replay


def test_replays_train_as_plain_steps_with_odd_last_batches() -> None:
    plain, graphed = small_model(), small_model()
    device = Imagined(graphed)
    step = GraphedStep(graphed, WARM_UP, device)
    for model in (plain, graphed):  # every rate of the schedule is exact in float32: Adam enlarges a rounded one
        model.optimizer_G.param_groups[0].update(lr=2**-12, initial_lr=2**-12)
        model.optimizer_D.param_groups[0].update(lr=2**-12)
    both = [build_scheduler(model.optimizer_G, "linear", 2, 3, 50) for model in (plain, graphed)]
    collected: list[list[dict[str, Tensor]]] = [[], []]
    for epoch in range(5):
        for scheduler in both:
            start_epoch(scheduler)
        for number, size in enumerate((2, 2, 2, 1)):
            batch = pairs(size, seed=10 * epoch + number)
            for losses, train_step in zip(collected, (plain.train_step, step), strict=True):
                torch.manual_seed(100 * epoch + number)
                losses.append(train_step(*batch))
            assert plain.fake_B is not None and graphed.fake_B is not None
            torch.testing.assert_close(graphed.fake_B, plain.fake_B, rtol=1e-4, atol=1e-5)
    assert (device.beside_steps, device.replays) == (5 + WARM_UP, 15 - WARM_UP)
    # read at the end of all steps, as a run reads them: a replay must not have written over an earlier one's
    torch.testing.assert_close(collected[1], collected[0], rtol=1e-4, atol=1e-6)
    assert [model.optimizer_G.param_groups[0]["lr"] for model in (plain, graphed)] == [0.0, 0.0]


def test_outside_a_capture_the_rate_is_a_number() -> None:
    model = small_model()
    step = GraphedStep(model, WARM_UP, Imagined(model))
    for number in range(WARM_UP + 2):
        step(*pairs(seed=number))
    assert type(model.optimizer_G.state_dict()["param_groups"][0]["lr"]) is float


def test_a_run_that_begins_odd_captures_the_whole_batches() -> None:
    model = small_model()
    device = Imagined(model)
    step = GraphedStep(model, WARM_UP, device)
    for number, size in enumerate((1, 2, 2, 2, 2, 1, 2)):
        step(*pairs(size, seed=number))
    assert (device.beside_steps, device.replays) == (2 + WARM_UP, 2)


def test_all_warm_up_steps_share_the_memory_of_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's allocator keeps a stream's freed memory for that stream: with three, three times a step's."""
    order: list[str] = []

    class Stream:
        def __init__(self, name: str = "side") -> None:
            self.name = name
            order.append(f"made {name}")

        def wait_stream(self, other: Stream) -> None:
            order.append(f"{self.name} waits for {other.name}")

    main = Stream("main")
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: main)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext(order.append(f"on {stream.name}")))
    side_stream.cache_clear()
    for _ in range(WARM_UP):
        with CudaCapture().on_side_stream():
            order.append("step")
    side_stream.cache_clear()
    turn = ["side waits for main", "on side", "step", "main waits for side"]
    assert order == ["made main", "made side", *turn * WARM_UP]
