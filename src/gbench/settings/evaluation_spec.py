"""The spec of an evaluation: that of a training, overridden by upstream's test options, then by the user's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gbench.base.paths import expanded, project_file, user_cache_dir
from gbench.errors import UsageError
from gbench.settings.check_spec import check_spec
from gbench.settings.defaults import with_defaults
from gbench.settings.model_config import AlarmConfig, SpeedConfig
from gbench.settings.model_file import override
from gbench.settings.request import ROWS, Request
from gbench.settings.resolve import (
    DEVICES,
    PRECISIONS,
    RUNNERS,
    Resolved,
    absolute,
    all_from,
    new_run_id,
    omp_num_threads,
    one_of,
    resolve,
    visible_devices,
)
from gbench.settings.spec import EvaluationConfig, RunSpec

CHOICES: dict[str, tuple[str, ...]] = {"device": DEVICES, "runner": RUNNERS, "precision": PRECISIONS}
PATHS = ("datasets_dir", "dockerfile")
# file names of torchvision's and torch-fidelity's weights in torch's download folder
ALEXNET, INCEPTION = "alexnet-owt-7be5be79.pth", "weights-inception-2015-12-05-6726825d.pth"
ALEXNET_SIDE = 64  # pixels of the smallest image that it takes, rounded up


@dataclass(frozen=True)
class EvaluationRequest:
    """What the user requests; None or empty where nothing is given."""

    checkpoint: Path
    epoch: int | None = None
    """The epoch after which the checkpoint was saved, unless the checkpoint has it."""
    parent: Path = Path("results")
    """Folder in which that of the results is created, unless `out` is given."""
    out: Path | None = None
    eval_mode: bool = False
    batch: int = 1
    devices: int = 1
    limit: int | None = None
    lpips_weights: Path | None = None
    fid_weights: Path | None = None
    settings: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of RunSpec that replace the training's."""
    command_line: str = ""


def of_run(run: RunSpec, request: EvaluationRequest, environ: Mapping[str, str]) -> Resolved:
    """The evaluation of a run's checkpoint, with the run's settings. Raises UsageError."""
    return _evaluation(all_from(run, "run"), run.run_id, request, environ)


def of_model(model: str, request: EvaluationRequest, environ: Mapping[str, str]) -> Resolved:
    """The evaluation of a checkpoint with a model of the config folder, for upstream's files. Raises UsageError."""
    network = tuple(setting for setting in request.settings if setting.startswith("network."))
    values = {**request.options, "precision": "FP32", "settings": network}
    plain = with_defaults(Request(model, batch_size=1, device_count=1, **values), values, environ)
    return _evaluation(resolve(plain, environ), None, request, environ)


def final_of(run: RunSpec, checkpoint: Path, out: Path, environ: Mapping[str, str]) -> RunSpec:
    """The evaluation at the end of a convergence run: of its last checkpoint, on its own devices.

    It uses no weights for LPIPS, FID and KID: a broken file in torch's folder must not cost a training its record.
    """
    request = EvaluationRequest(checkpoint, out=out, devices=run.devices_per_node, command_line=run.command_line)
    spec = of_run(run, request, environ).spec
    return spec.replaced(
        run_id=f"{run.run_id}-final",
        evaluation={"lpips_weights": None, "fid_weights": None},
        cuda_visible_devices=run.cuda_visible_devices,
    )


def _weights(given: Path | None, installed: str | None, environ: Mapping[str, str]) -> str | None:
    """The file given, else the file of this name in torch's download folder (torch.hub), if there is one."""
    if given is not None:
        return str(given.resolve())
    home = expanded(environ.get("TORCH_HOME") or user_cache_dir(environ) / "torch")
    path = home / "hub" / "checkpoints" / installed if installed else None
    return str(path.resolve()) if path and path.is_file() else None


def _evaluation(base: Resolved, run_id: str | None, request: EvaluationRequest, environ: Mapping[str, str]) -> Resolved:
    if request.batch > 1 and not request.eval_mode:
        raise UsageError(
            f"--per-device-batch-size {request.batch} would change the result: by batch statistics, images of one "
            "batch share theirs",
            "leave it out, or pass --eval-mode for running statistics",
        )
    run, origins = base.spec, dict(base.origins)
    changes = dict(request.options)
    changes |= {name: one_of(f"--{name}", changes[name], CHOICES[name]) for name in CHOICES if name in changes}
    changes |= {name: absolute(changes[name]) for name in PATHS if name in changes}
    origins |= dict.fromkeys([*changes, *(ROWS[name].variable for name in changes if ROWS[name].variable)], "option")
    changes.setdefault("rehash", False)
    changes.setdefault("cuda_visible_devices", visible_devices(changes.get("device", run.device), environ))
    own_id = new_run_id("eval")
    config = override(run.config, list(request.settings))
    alexnet = ALEXNET if config.data.crop_size >= ALEXNET_SIDE else None
    evaluation = EvaluationConfig(
        checkpoint=str(request.checkpoint.resolve()),
        epoch=request.epoch,
        run_id=run_id,
        out=str((request.out or request.parent / own_id).resolve()),
        eval_mode=request.eval_mode,
        lpips_weights=_weights(request.lpips_weights, alexnet, environ),
        fid_weights=_weights(request.fid_weights, INCEPTION, environ),
    )
    named = {setting.partition("=")[0] for setting in request.settings}
    size, loaded = config.data.crop_size, config.data.load_size
    if "data.load_size" in named and loaded > size and "crop" in config.data.preprocess:
        raise UsageError(
            f"data.load_size {loaded} above data.crop_size {size} would crop each test image at random",
            f"leave data.load_size out: it is then {size}, as upstream tests",
        )
    data = {"phase": "test", "load_size": size, "flip": False, "max_dataset_size": request.limit}
    data = {key: value for key, value in data.items() if f"data.{key}" not in named} | {"source": "real"}
    origins |= {f"data.{key}": "as upstream tests" for key in data} | dict.fromkeys(named, "option")
    if request.limit is not None:
        origins["data.max_dataset_size"] = "option"
    spec = run.replaced(
        **changes,
        run_id=own_id,
        recipe="evaluation",
        batch_size=request.batch * request.devices,
        device_count=request.devices,
        spec_version=1,
        nodes=1,
        rdzv=None,
        node_rank=None,
        database=None,
        timeout_s=None,
        config=config.replaced(data=data, speed=SpeedConfig(), alarms=AlarmConfig()),
        profile="reference",
        tuned_by=None,
        dataset_subdir="",
        run_model_file=str(project_file("scripts/pt-pix2pix.sh")),
        command_line=request.command_line,
        evaluation=evaluation,
        omp_num_threads=omp_num_threads(environ),
    )
    check_spec(spec)
    return Resolved(spec, origins)
