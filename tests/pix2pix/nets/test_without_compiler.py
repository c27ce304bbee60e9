"""Training, evaluating, and counting its work, without loading torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def in_a_fresh_process(code: str) -> str:
    helpers = str(Path(__file__).parents[2] / "helpers")
    command = [sys.executable, "-c", f"import sys; sys.path.append({helpers!r})\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_step_loads_no_compiler() -> None:
    """Of bare networks, and of those in DistributedDataParallel."""
    code = """
import torch.distributed as dist
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step.model import Pix2Pix
from gbench.settings.model_config import SpeedConfig
from small_models import pairs, small_model
bare, other = small_model(), small_model()
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
ranks = Ranks(0, 1, torch.device("cpu"))
wrapped = Pix2Pix(*(ranks.wrap_ddp(net, SpeedConfig()) for net in (other.generator, other.discriminator)))
for model in (bare, wrapped):
    for number in range(2):
        model.train_step(*pairs(seed=number))
    model.load_state_dict(model.state_dict())
print("torch._dynamo" in sys.modules)
"""
    assert in_a_fresh_process(f"import torch\n{code}") == "False"


def test_an_evaluation_loads_no_compiler() -> None:
    code = """
import torch
import gbench.pix2pix.evaluator
from gbench.pix2pix.nets import determinism
from small_models import small_model
determinism.choose_kernels(deterministic=True, one_size=False)
determinism.seed_image(0, 1)
with torch.no_grad():
    small_model().generator(torch.zeros(1, 3, 32, 32))
print("torch._dynamo" in sys.modules, torch.are_deterministic_algorithms_enabled())
"""
    assert in_a_fresh_process(code) == "False True"


def test_wrappers_are_off_only_in_the_context() -> None:
    code = """
import torch
from gbench.pix2pix.nets.without_compiler import wrappers_off
with wrappers_off():
    torch.nn.functional.pad(torch.empty(1, 3, 8, 8, device="meta"), (1, 1, 1, 1), mode="reflect")
    torch.empty(3, device="meta").normal_()
    print("torch._dynamo.utils" in sys.modules)
print("torch._dynamo" in sys.modules)
with wrappers_off():
    torch._dynamo.config  # what it does not stand in for
print("torch._dynamo.utils" in sys.modules, torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
"""
    assert in_a_fresh_process(code).split() == ["False", "False", "True", "2.0"]
