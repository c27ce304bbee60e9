"""Checkpoints: everything that a run needs to resume, and weight files in upstream's format.

`epoch-NNNN.pt` is from the end of that epoch, `epoch-NNNN-part.pt` from within it. `latest_net_G.pth`, `best_net_G.pth`
and `latest_net_D.pth` are plain state_dicts under upstream's names and keys (junyanz/pytorch-CycleGAN-and-pix2pix,
models/base_model.py at 003efc4c). The best is of the epoch with the lowest mean G_L1; `best.json` names it.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch

from gbench.base import strict_json
from gbench.base.files import cant_write, new_file, open_file, read_file, sync_folder, taken_for, write_atomically
from gbench.errors import InfrastructureError
from gbench.runfolder.checkpoints import of_run

CHECKPOINT_VERSION = 2


def save(values: Any, path: Path) -> None:
    """Write a checkpoint; `path` is complete or missing. Raises InfrastructureError: it can't be written."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        with new_file(temporary) as file:
            torch.save(values, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise cant_write(path, error if isinstance(error, OSError) else OSError(str(error))) from error


def load(path: Path) -> Any:
    """Read tensors and plain values only, to the CPU. Raises InfrastructureError: missing, or not a checkpoint."""
    try:
        open_file(path).close()  # torch would wait at a pipe
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InfrastructureError(f"checkpoint {path} is not there", "look at the run's checkpoints folder") from error
    except Exception as error:  # torch.load's exceptions have no common class
        first = taken_for(path) or " ".join(str(error).split(".")[0].split())
        raise InfrastructureError(f"{path} is not a checkpoint that can be loaded ({first})", "take another") from error


def save_run(values: dict[str, Any], folder: Path, epoch: int, whole: bool, keep: int) -> None:
    """Write the checkpoint of a run after an epoch (`whole`) or from within it, and upstream's weight files.

    Then remove those before the last `keep`. Raises InfrastructureError: it can't be written; earlier ones are kept.
    """
    save({"version": CHECKPOINT_VERSION, **values}, folder / f"epoch-{epoch:04d}{'' if whole else '-part'}.pt")
    save(values["model"]["generator"], folder / "latest_net_G.pth")
    save(values["model"]["discriminator"], folder / "latest_net_D.pth")
    for old in of_run(folder)[:-keep]:
        old.unlink(missing_ok=True)


def save_if_best(generator: dict[str, Any], folder: Path, epoch: int, G_L1: float) -> None:
    """Save the generator as the best one if its epoch's mean G_L1 is the lowest so far. Raises InfrastructureError."""
    best = folder / "best.json"
    if not math.isfinite(G_L1) or (best.exists() and strict_json.loads(read_file(best))["G_L1"] <= G_L1):
        return
    save(generator, folder / "best_net_G.pth")
    write_atomically(best, json.dumps({"epoch": epoch, "G_L1": G_L1}) + "\n")


def last_whole(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be loaded; None without any. Raises InfrastructureError: none can be loaded."""
    problems: list[InfrastructureError] = []
    for path in reversed(of_run(folder)):
        try:
            values = load(path)
        except InfrastructureError as error:
            problems.append(error)
            continue
        if isinstance(values, dict) and values.get("version") == CHECKPOINT_VERSION:
            return values
        what = f"{path} is a checkpoint of another version"
        problems.append(InfrastructureError(what, "resume with the gbench that wrote it"))
    if problems:
        raise problems[0]
    return None


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The random state of this process: torch's CPU generator, and the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
