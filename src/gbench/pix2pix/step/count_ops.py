"""Operations and memory of a pix2pix step, and the shape of its main convolution."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gbench.measure.op_count import count_work
from gbench.measure.peak import ConvShape
from gbench.measure.storage_count import count_memory
from gbench.pix2pix.nets.without_compiler import wrappers_off
from gbench.pix2pix.step import precision
from gbench.pix2pix.step.build_model import build_networks
from gbench.pix2pix.step.model import Pix2Pix
from gbench.runfolder.environment_facts import WorkFacts
from gbench.settings.spec import RunSpec


def work_per_image(spec: RunSpec) -> WorkFacts:
    """Work of a training step per image, at the run's crop size and batch size. Sets torch's seed.

    Bytes are unknown under autocast, which does not cast on the meta device used to count.
    """
    batch = spec.batch_per_device
    with wrappers_off():
        step = count_work(_step_on_meta(spec))
    in_fp32 = precision.AUTOCAST[spec.precision] is None
    return WorkFacts(flop=step.flop // batch, bytes=step.bytes // batch if in_fp32 else None)


def flop_of_calls(spec: RunSpec) -> dict[str, list[int]]:
    """Floating-point operations of each convolution of a training step, in order, by operator. Sets torch's seed."""
    with wrappers_off():
        return count_work(_step_on_meta(spec)).calls


def memory_of_step(spec: RunSpec) -> tuple[int, int]:
    """Peaks in bytes of what a rank's steps take on its device: in use, and reserved by torch's allocator for GPUs.

    torch.compile and CUDA graphs are counted as if they were off. Sets torch's seed.
    """
    on_gpu = spec.device == "cuda"
    adam = {"foreach": True} if on_gpu and spec.config.speed.adam != "fused" else None  # torch's choice on a GPU
    with wrappers_off():
        return count_memory(lambda: _step_on_meta(spec, adam), on_gpu, precision.AUTOCAST[spec.precision])


def _step_on_meta(spec: RunSpec, adam: Mapping[str, Any] | None = None) -> Callable[[], object]:
    batch, side = spec.batch_per_device, spec.config.data.crop_size
    with torch.device("meta"):
        model = Pix2Pix(*build_networks(spec), adam=adam)
        pair = [torch.empty(batch, 3, side, side) for _ in range(2)]
    return lambda: model.train_step(*pair)


def main_convolution(spec: RunSpec) -> ConvShape:
    """The residual blocks' 3x3 convolution, 4 ngf channels at a quarter of the crop's side; a U-Net's is similar."""
    return ConvShape(spec.batch_per_device, 4 * spec.config.network.ngf, spec.config.data.crop_size // 4)
