"""Apply the switches of `speed` (settings.spec.SpeedConfig) to networks, optimisers and the training step.

No switch changes the precision or the result of a step, except for the order of sums and, with channels_last, the
elements that dropout drops. With all switches off, nothing changes.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gbench.errors import RunFailed
from gbench.pix2pix.nets.generators import ResnetBlock
from gbench.pix2pix.step.cuda_graph import GraphedStep
from gbench.pix2pix.step.model import Pix2Pix
from gbench.settings.model_config import SpeedConfig
from gbench.settings.spec import RunSpec

COMPILE_OPTIONS: dict[str, str | int | bool] = {"fallback_random": True, "layout_optimization": False}
TrainStep = Callable[[Tensor, Tensor], dict[str, Tensor]]


def require_tuned_here(spec: RunSpec) -> None:
    """Raises RunFailed: the switches were tuned with another torch."""
    if spec.tuned_by is not None and spec.tuned_by.torch_version != torch.__version__:
        raise RunFailed(
            f"--profile optimized: the switches were tuned with torch {spec.tuned_by.torch_version}, "
            f"this is {torch.__version__}",
            "run `gbench tune` again, with this torch",
        )


def prepare(network: nn.Module, speed: SpeedConfig) -> nn.Module:
    """Set memory layout and compilation of a network, in place, before it is wrapped; its state_dict keeps its keys.

    A compiled network drops the same elements as an uncompiled one: random numbers come from torch's own kernels
    (fallback_random) and fill memory of the same layout, which Inductor would otherwise change to NHWC.
    """
    if speed.channels_last:
        network.to(memory_format=torch.channels_last)
    parts = [network] if speed.compile == "networks" else []
    if speed.compile == "blocks":
        parts = [module for module in network.modules() if isinstance(module, ResnetBlock)]
    if parts and torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(True)  # tells the compiler too
    for part in parts:
        part.compile(dynamic=False, options=COMPILE_OPTIONS)
    return network


def adam_options(speed: SpeedConfig) -> dict[str, Any]:
    """Arguments of both Adams besides lr and betas."""
    options: dict[str, Any] = {} if speed.adam == "default" else {speed.adam: True}
    return {**options, "capturable": True} if speed.cuda_graph else options


def step_of(model: Pix2Pix, speed: SpeedConfig, devices: int = 1) -> TrainStep:
    """The training step with the switches applied: captured in a CUDA graph, inputs in channels_last.

    devices: of the run.
    """
    step: TrainStep = model.train_step
    if speed.cuda_graph:
        step = GraphedStep(model, speed.steps_before_capture(devices))
    if not speed.channels_last:
        return step
    return lambda *images: step(*(image.contiguous(memory_format=torch.channels_last) for image in images))


@contextmanager
def convert_compiler_errors() -> Iterator[None]:
    """Convert a failure of torch.compile in here. Raises RunFailed."""
    try:
        yield
    except RuntimeError as error:
        dynamo: Any = sys.modules.get("torch._dynamo.exc")  # loaded by the first compilation
        if dynamo is None or not isinstance(error, dynamo.TorchDynamoException):
            raise
        first = str(error).strip().splitlines()[0]
        raise RunFailed(
            f"speed.compile: torch.compile failed ({first})",
            "see the log, install a C++ compiler (g++) if it is missing, or leave the switch out",
        ) from error
