"""Train steps of specs on a GPU. In: files of specs; out: bytes allocated and reserved by torch, a line each."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import torch

from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step.apply_switches import step_of
from gbench.pix2pix.step.build_model import build_model
from gbench.runfolder.worker_exit import leave
from gbench.settings.spec import RunSpec

STEPS = 6  # a CUDA graph is captured in the fourth


def peaks(spec: RunSpec, gpu: torch.device) -> tuple[int, int]:
    torch.cuda.init()
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(gpu)
    model = build_model(spec, Ranks(0, 1, gpu))
    step, side = step_of(model, spec.config.speed), spec.config.data.crop_size
    for _ in range(STEPS):
        step(*(torch.empty(spec.batch_per_device, 3, side, side, device="cpu").to(gpu) for _ in range(2)))
    return torch.cuda.max_memory_allocated(gpu), torch.cuda.max_memory_reserved(gpu)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(*peaks(RunSpec.model_validate_json(Path(path).read_text()), torch.device("cuda", 0)), flush=True)
    leave(0)  # as a run's process does: torch's own teardown aborts now and then
