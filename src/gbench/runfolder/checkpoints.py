"""Checkpoint files on the host, without torch: find them, and read the spec that they contain.

The worker writes them and loads their weights (gbench.pix2pix.checkpoint).
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gbench.base import strict_json
from gbench.base.files import entries, open_file, read_file
from gbench.base.invalid import remedy
from gbench.errors import InfrastructureError, UsageError
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec


def of_run(folder: Path) -> list[Path]:
    """The checkpoints that a run saved in its checkpoints folder, oldest first."""
    return entries(folder, "epoch-*.pt")  # `-part` sorts before `.pt`


def choose(run: RunFolder, best: bool = False, epoch: int | None = None) -> tuple[Path, int | None]:
    """Choose a checkpoint of a run. Returns its path, and its epoch if the checkpoint itself does not contain it.

    best: the generator with the lowest mean G_L1. epoch: the checkpoint of this epoch. Neither: the newest.

    Raises UsageError: the run has no such checkpoint.
    """
    folder, saved = run.checkpoints, of_run(run.checkpoints)
    if best:
        try:
            facts = strict_json.loads(read_file(folder / "best.json"))
            return folder / "best_net_G.pth", int(facts["epoch"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise UsageError(f"{folder} has no best.json that can be read", "leave out --best") from error
    if not saved:
        raise UsageError(f"{run.path} has no checkpoint", "a convergence run keeps some: gbench converge")
    if epoch is None:
        return saved[-1], None
    wanted = folder / f"epoch-{epoch:04d}.pt"
    if wanted not in saved:
        whole = [path for path in saved if not path.stem.endswith("-part")]
        kept = ", ".join(path.stem.removeprefix("epoch-").lstrip("0") for path in whole) or "none but the newest"
        raise UsageError(f"{run.path} keeps no checkpoint of epoch {epoch}", f"take one of {kept}")
    return wanted, None


def spec_in(path: Path) -> RunSpec | None:
    """The spec in a checkpoint that gbench saved; None for a plain state_dict, or a file that is not a checkpoint.

    Raises InfrastructureError: it can't be read, or its spec is of another version.
    """
    try:
        with open_file(path) as content, zipfile.ZipFile(content) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                values = _PlainValues(file).load()
    except OSError as error:
        raise InfrastructureError(f"{path} can't be read ({error.strerror or error})", "look at its path") from error
    except Exception:  # not a checkpoint; the worker reports why
        return None
    if not isinstance(values, dict) or not isinstance(values.get("spec"), dict):
        return None
    try:
        return RunSpec.model_validate(values["spec"])
    except ValidationError as error:
        raise InfrastructureError(
            f"the spec in {path} is not one that this gbench reads ({error.error_count()} problems)",
            remedy(error, "name the model with --model"),
        ) from error


class _PlainValues(pickle.Unpickler):
    """Reads the plain values of a checkpoint and runs no code: every object of torch becomes None."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" or module.startswith("torch."):
            return _nothing
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        """Replace a tensor's storage by None."""


def _nothing(*_: Any) -> None:
    """Replace a tensor by None."""
