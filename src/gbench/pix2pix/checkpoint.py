"""Checkpoints: all that a run needs to go on, and upstream's own weight files beside it.

`checkpoints/epoch-NNNN.pt` holds networks, optimisers, schedulers, scaler, the random state of every rank, step, epoch
and the spec. `latest_net_G.pth` and `latest_net_D.pth` are plain state_dicts under upstream's names and keys
(junyanz/pytorch-CycleGAN-and-pix2pix, models/base_model.py at 003efc4c), to interchange with it both ways.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from gbench.errors import InfrastructureError
from gbench.files import cant_write

CHECKPOINT_VERSION = 1


def save(values: Any, path: Path) -> None:
    """Write a checkpoint to a temporary file beside `path`, sync and rename it: `path` is whole or not there.

    Raises:
        InfrastructureError: it can't be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(values, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise cant_write(path, error if isinstance(error, OSError) else OSError(str(error))) from error


def load(path: Path) -> Any:
    """Read a checkpoint or a state_dict onto the CPU; tensors and plain values only, no code.

    Raises:
        InfrastructureError: not there, not a checkpoint, or one that would run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InfrastructureError(f"checkpoint {path} is not there", "look at the run's checkpoints folder") from error
    except Exception as error:  # torch.load's failures have no common class
        first = " ".join(str(error).split(".")[0].split())
        raise InfrastructureError(f"{path} is not a checkpoint that can be loaded ({first})", "take another") from error


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The random state of this process: torch's CPU generator, and the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set what `random_state` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
