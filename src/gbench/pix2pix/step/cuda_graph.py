"""A training step captured in a CUDA graph and replayed: one launch by the host in place of thousands.

Follows PyTorch's notes on CUDA graphs ("Whole-network capture"): a few steps on a side stream first, inputs and outputs
at fixed addresses, gradients in the graph's own memory, Adam with capturable=True and its learning rate in a tensor.
torch registers its random generator with the graph, so that every replay draws new numbers.

On several GPUs the graph holds the exchange of gradients ("Usage with DistributedDataParallel"): DDP is built on the
side stream, where its hooks then run, and 11 steps come first. It stays DDP's, whose buckets overlap with the backward
pass; one all-reduce of all gradients would sum the same numbers, but only after it. The graph must be freed before its
process group, since NCCL waits for all graphs of a communicator (NVIDIA, "CUDA Graph Best Practice", process hang).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from gbench.errors import RunFailed
from gbench.pix2pix.step.model import Pix2Pix


@cache
def side_stream() -> torch.cuda.Stream:
    """The side stream of this process. All models share it, as torch keeps freed memory for the stream that used it."""
    return torch.cuda.Stream()


@contextmanager
def on_side_stream() -> Iterator[None]:
    """In this context work goes to the side stream; the main stream waits for it, as it waits for the main one."""
    main, side = torch.cuda.current_stream(), side_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield
    main.wait_stream(side)


class CudaCapture:
    """CUDA graphs of the current device."""

    on_side_stream = staticmethod(on_side_stream)

    def capture(self, step: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Capture a step without running it; return the tensor of its result, and a function that runs it.

        Raises RunFailed: something in the step can't be captured.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: the threads that load data may go on copying to the device.
            with torch.cuda.graph(graph, stream=side_stream(), capture_error_mode="thread_local"):
                result = step()
        except RuntimeError as error:
            if "captur" not in str(error):
                raise
            first = str(error.__context__ or error).strip().splitlines()[0]  # context: what made the capture's end fail
            why = f"speed.cuda_graph: the step can't be captured ({first})"
            raise RunFailed(why, "leave the switch out") from error
        return result, graph.replay


class GraphedStep:
    """`model.train_step` for batches of one size, the largest; a smaller batch, the last of an epoch, runs uncaptured.

    Every batch is trained on once: the first ones are the warm-up, the next one is the first replay.

    Args:
        model: networks on one GPU, bare or in DistributedDataParallel, built `on_side_stream`; no GradScaler; Adams
            with capturable=True.
        warm_up: whole batches before the capture, as `SpeedConfig.steps_before_capture`.
        capture: default: CUDA graphs of the current device.
    """

    def __init__(self, model: Pix2Pix, warm_up: int, capture: CudaCapture | None = None) -> None:
        self._model, self._warm_up, self._capture = model, warm_up, capture or CudaCapture()
        self._shape: torch.Size | None = None
        self._warmed_up = 0
        self._replay: Callable[[], None] | None = None

    def __call__(self, real_A: Tensor, real_B: Tensor) -> dict[str, Tensor]:
        if self._shape is None or len(real_A) > self._shape[0]:  # a run may be resumed at an epoch's last batch
            self._shape, self._warmed_up, self._replay = real_A.shape, 0, None
        if real_A.shape != self._shape or self._warmed_up < self._warm_up:
            self._warmed_up += real_A.shape == self._shape
            with self._capture.on_side_stream():
                return self._model.train_step(real_A, real_B)
        if self._replay is None:
            self._replay = self._begin(real_A, real_B)
        self._real_A.copy_(real_A, non_blocking=True)
        self._real_B.copy_(real_B, non_blocking=True)
        for optimizer, rate in self._rates:
            rate.fill_(optimizer.param_groups[0]["lr"])  # set by the schedule in every epoch
        self._replay()
        self._model.fake_B = self._fake_B
        return dict(zip(self._names, self._losses.clone().unbind(), strict=True))  # the next replay overwrites them

    def _begin(self, real_A: Tensor, real_B: Tensor) -> Callable[[], None]:
        self._real_A, self._real_B = real_A.clone(), real_B.clone()
        optimizers = self._model.optimizer_G, self._model.optimizer_D
        lrs = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        self._rates = list(zip(optimizers, (torch.tensor(lr, device=real_A.device) for lr in lrs), strict=True))
        for optimizer, tensor in self._rates:
            optimizer.zero_grad()  # so that the capture allocates the gradients in the graph's memory
            optimizer.param_groups[0]["lr"] = tensor
        try:
            self._losses, replay = self._capture.capture(self._step)
        finally:
            for optimizer, lr in zip(optimizers, lrs, strict=True):  # plain numbers, for schedule and checkpoint
                optimizer.param_groups[0]["lr"] = lr
        self._fake_B = self._model.fake_B
        return replay

    def _step(self) -> Tensor:
        losses = self._model.train_step(self._real_A, self._real_B)
        self._names = list(losses)
        return torch.stack(list(losses.values()))
