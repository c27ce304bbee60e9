"""The switches that `gbench tune` found, cached for runs of profile optimized.

One file per key in `tuned/` below the cache folder. A key has the device, network, sizes, precision, number of devices
and the software (torch's version locally, else the image's base). The switches that a run uses are in its spec.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from gbench.base.files import make_folder, read_file, write_atomically
from gbench.base.invalid import first_problem
from gbench.errors import InfrastructureError, UsageError
from gbench.machine.gpus import Gpus, visible
from gbench.machine.host import cpu_name
from gbench.runfolder.tuning_result import Tuning
from gbench.runfolder.typed_json import to_json
from gbench.runners.image import plan_image
from gbench.settings.check_spec import check_schedule
from gbench.settings.model_config import Frozen, SpeedConfig
from gbench.settings.spec import RunSpec, TunedBy
from gbench.settings.switches import why_not
from gbench.settings.tuning_spec import SIZES, tune_command


class Remembered(Frozen):
    """The content of a file in `tuned/`."""

    version: Literal[1] = 1
    key: dict[str, Any]
    """What the tuning is valid for."""
    speed: SpeedConfig
    tuned_by: TunedBy


def key_of(spec: RunSpec, gpus: Gpus) -> dict[str, Any]:
    """What a tuning is valid for, from the spec of the tuning or of a run."""
    if spec.device == "cuda":
        used = visible(gpus, spec.cuda_visible_devices).devices[: spec.devices_per_node]
        device = ", ".join(sorted({gpu.name for gpu in used}))
    else:
        device = cpu_name()
    if spec.runner == "local":
        software = f"torch {metadata.version('torch')}"
    else:
        plan = plan_image(spec.image, Path(spec.dockerfile), spec.from_image)
        software = f"image {plan.name if plan.pinned else plan.base}"
    return {
        "device": device,
        "device_count": spec.world_size,
        "precision": spec.precision,
        "batch_per_device": spec.batch_per_device,
        "network": spec.config.network.model_dump(),
        **{name: getattr(spec.config.data, name) for name in SIZES},
        "deterministic": spec.deterministic,
        "software": software,
    }


def place_of(spec: RunSpec, key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    return Path(spec.cache_dir) / "tuned" / f"{spec.config.network.netG}-{spec.precision}-{digest}.json"


def remember(spec: RunSpec, gpus: Gpus, found: Tuning, utc: str) -> Path:
    """Save the result of a tuning, replacing an earlier one. Raises InfrastructureError: it can't be written."""
    key = key_of(spec, gpus)
    path = place_of(spec, key)
    make_folder(path.parent)
    ratio = found.overall.ratio if found.overall is not None and found.overall.kept else None
    by = TunedBy(run_id=spec.run_id, utc=utc, torch_version=found.torch_version, ratio=ratio)
    values = Remembered(key=key, speed=found.speed, tuned_by=by)
    write_atomically(path, to_json(values.model_dump()))
    return path


def with_tuned_switches(spec: RunSpec, gpus: Gpus) -> RunSpec:
    """`spec` with the switches tuned for it, if its profile is optimized; else unchanged.

    Raises:
        UsageError: no tuning is saved for it, or its warm-up leaves no step to measure.
        InfrastructureError: the saved tuning can't be read, or is not valid for this run.
    """
    if spec.profile != "optimized" or spec.tuned_by is not None:
        return spec
    key = key_of(spec, gpus)
    path = place_of(spec, key)
    again = f"run `{tune_command(spec)}`"
    try:
        remembered = Remembered.model_validate_json(read_file(path))
    except FileNotFoundError as error:
        raise UsageError(
            "--profile optimized: no tuning is remembered for this device, network, batch, precision and software",
            f"{again} first",
        ) from error
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise InfrastructureError(f"{path} can't be read ({first_problem(error)})", f"{again} again") from error
    cant_act = why_not(spec, remembered.speed)
    if remembered.key != key or cant_act is not None:
        why = cant_act[0] if cant_act is not None else "its key is another one"
        raise InfrastructureError(f"{path} is not what a tuning for this run has left ({why})", f"{again} again")
    tuned = spec.replaced(config={"speed": remembered.speed}, tuned_by=remembered.tuned_by)
    check_schedule(tuned)
    return tuned
