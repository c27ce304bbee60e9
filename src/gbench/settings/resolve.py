"""From a request to one RunSpec, and where each value came from.

Precedence: option > variable > gbench.yaml (defaults.py) > `configs/MODEL.yaml` > default. Nothing below this module
reads argv or the environment.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar, get_args

from gbench.base.paths import DEFAULT_DATASETS_DIR, expanded, project_file, user_cache_dir
from gbench.base.whole import whole_number
from gbench.errors import UsageError
from gbench.settings.check_spec import check_spec
from gbench.settings.kubernetes_config import kubernetes_config
from gbench.settings.launch_sh_files import SUCCESSORS
from gbench.settings.literals import CLUSTERS, Device, Precision, Recipe, RunnerName
from gbench.settings.model_config import ModelConfig
from gbench.settings.model_file import ModelFile, load_model, model_name, override
from gbench.settings.nccl import NCCL_ORIGIN, with_nccl_variables
from gbench.settings.request import ARGUMENTS, ROWS, VARIABLE_FIELDS, Request
from gbench.settings.slurm_config import slurm_config
from gbench.settings.spec import RunSpec
from gbench.settings.switches import profile_of

DEFAULT_CNDB_DIR = "cndb"
RUN_TIME = "%Y%m%dT%H%M%SZ"  # when a run began: what its id begins with
RUN_ID = re.compile(r"(\d{8}T\d{6}Z-)[\w.-]+-([0-9a-f]{6})", re.ASCII)  # as `new_run_id` makes it
Choice = TypeVar("Choice", bound=str)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEVICES: tuple[Device, ...] = get_args(Device)
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)


@dataclass(frozen=True)
class Resolved:
    """A RunSpec, and for each value where it came from (`option --steps`, `variable CONT`, `config`, `default`)."""

    spec: RunSpec
    origins: dict[str, str]


def all_from(spec: RunSpec, origin: str) -> Resolved:
    """A spec whose values all come from one place: a run, a record or a session."""
    return Resolved(spec, dict.fromkeys([*VARIABLE_FIELDS, *RunSpec.model_fields, *spec.config.settings], origin))


def new_run_id(model: str) -> str:
    """`<utc>-<model>-<short id>`: sorts by time, and is unique."""
    return f"{datetime.now(timezone.utc).strftime(RUN_TIME)}-{model}-{secrets.token_hex(3)}"


class _Variables:
    """Looks launch.sh's variables up, first in the options of that name, and notes the origin of each."""

    def __init__(self, options: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
        self.options, self.environ = options, environ
        self.origins: dict[str, str] = {}

    def get(self, variable: str, config: str | None, default: str) -> str:
        for value, origin in (
            (self.options.get(variable), "option"),
            (self.environ.get(variable), f"variable {variable}"),
            (config, "config"),
            (default, "default"),
        ):
            if value:
                self.origins[variable] = origin
                return value
        raise UsageError(f"{variable} has no value", f"export {variable} or give the option")

    def path(self, variable: str, config: str | None, default: str) -> Path:
        """Like get, for a path: relative to the working folder, or to the project if from a config or a default."""
        text = self.get(variable, config, default)
        if self.origins[variable] in ("config", "default"):
            path = project_file(text)
            if not path.resolve().is_relative_to(project_file("pyproject.toml").parent):
                raise UsageError(  # MODEL.yaml may be from elsewhere
                    f"{variable} {text} of the model's config is no file of the project",
                    f"if you trust it, give it yourself: export {variable}={text}",
                )
            return path
        path = expanded(text)
        successor = SUCCESSORS.get(path.as_posix().removeprefix("./"))
        if successor and not path.exists():
            self.origins[variable] += f": launch.sh's {text}, here {successor}"
            return project_file(successor)
        own = f"scripts/{path.name}"  # of the project, named from any folder
        named = variable == "RUN_MODEL_FILE" and text in (path.name, own)
        if named and not path.exists() and project_file(own).is_file():
            self.origins[variable] += ": the project's own"
            return project_file(own)
        return path.resolve()


def resolve(request: Request, environ: Mapping[str, str]) -> Resolved:
    """Resolve and check a request, as far as possible without Docker, devices and the dataset.

    Raises UsageError: a value is missing, is invalid, or contradicts another one.
    """
    if environ.get("DATESTAMP"):
        raise UsageError(
            f"DATESTAMP {environ['DATESTAMP']!r} has no effect: the names of a run's files begin with its own time",
            "unset DATESTAMP",
        )
    options = {variable: getattr(request, field) for variable, field in VARIABLE_FIELDS.items()}
    variables = _Variables(options, environ)
    config_dir = variables.path("CONFIG", None, "configs")
    request = replace(request, model=model_name(request.model, config_dir))
    model_file = load_model(request.model, config_dir)
    if request.recipe not in model_file.recipes:
        raise UsageError(f"MODEL {request.model!r} has no recipe {request.recipe}", "add it to its config")
    run_script = variables.path("RUN_MODEL_FILE", model_file.recipes[request.recipe].run_model_file, "")
    recipe = model_file.recipe_of(str(run_script))
    config, origins = _config(request, model_file, recipe or "performance")
    cache_dir, origins["cache_dir"] = cache_dir_of(request.cache_dir, environ)
    results_dir, origins["results_dir"] = output_dir(request.results_dir, "RESULT_DIR", "results", environ)
    logs_dir, origins["logs_dir"] = output_dir(request.logs_dir, "LOG_DIR", "logs", environ)
    device = one_of("--device", request.device, DEVICES)
    runner = one_of("--runner", request.runner, RUNNERS)
    visible = request.cuda_visible_devices
    if runner not in CLUSTERS and visible is None and (visible := visible_devices(device, environ)) is not None:
        origins["cuda_visible_devices"] = "variable CUDA_VISIBLE_DEVICES"
    of_script = {**environ, **request.env}
    if "OMP_NUM_THREADS" in of_script:
        origins["omp_num_threads"] = "variable OMP_NUM_THREADS"
    if config.speed.on:
        origins["profile"] = "switches of speed"
    as_asked = {name: getattr(request, name) for name in ROWS if name in RunSpec.model_fields}
    resolved = {
        "spec_version": 1 if request.nodes == 1 else 2,
        "run_id": new_run_id(request.model),
        "recipe": recipe or "custom",
        "record_name": model_file.record_name,
        "framework": model_file.framework,
        "precision": one_of("PRECISION", request.precision, PRECISIONS),
        "device": device,
        "runner": runner,
        "config": config,
        "image": variables.get("CONT", model_file.image, ""),
        "dockerfile": str(variables.path("DOCKERFILE", model_file.dockerfile, "")),
        "dataset": variables.get("DATASETS", model_file.dataset, ""),
        "datasets_dir": absolute(variables.get("DATASETS_DIR", None, DEFAULT_DATASETS_DIR)),
        "dataset_subdir": "",
        "cndb_dir": absolute(variables.get("CNDB_DIR", None, DEFAULT_CNDB_DIR)),
        "code_link": variables.get("CODE_LINK", model_file.code_link, ""),
        "run_model_file": str(run_script),
        "config_dir": str(config_dir),
        "results_dir": results_dir,
        "logs_dir": logs_dir,
        "command_line": request.command_line,
        "cache_dir": cache_dir,
        "cuda_visible_devices": visible,
        "omp_num_threads": omp_num_threads(of_script),
        "profile": profile_of(request.profile, config.speed),
        "slurm": slurm_config(request, runner),
        "kubernetes": kubernetes_config(request, runner),
    }
    spec = with_nccl_variables(RunSpec(**{**as_asked, **resolved}), environ)
    if spec.env != request.env:
        origins["env"] = NCCL_ORIGIN + (" and --env" if request.env else "")
    check_spec(spec)
    return Resolved(spec, {**_origins(request), **variables.origins, **origins, **request.origins})


def visible_devices(device: str, environ: Mapping[str, str]) -> str | None:
    """CUDA_VISIBLE_DEVICES, for a run on GPUs."""
    return environ.get("CUDA_VISIBLE_DEVICES") if device == "cuda" else None


def omp_num_threads(environ: Mapping[str, str]) -> int | None:
    """OMP_NUM_THREADS, the first of a list; None if it is not set. Raises UsageError: not a number of threads."""
    text = environ.get("OMP_NUM_THREADS")
    if not text:
        return None
    if not (first := whole_number(text.split(",")[0].strip())):
        raise UsageError(f"OMP_NUM_THREADS {text!r} is no number of threads", "unset it, or export OMP_NUM_THREADS=4")
    return first


def absolute(path: str | Path) -> str:
    """A path of the user's as an absolute one."""
    return str(expanded(path).resolve())


def cache_dir_of(given: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The folder for decoded images and tuning results, --cache-dir or one in the user's cache folder; its origin."""
    if given is not None:
        return absolute(given), "option"
    origin = "variable XDG_CACHE_HOME" if environ.get("XDG_CACHE_HOME") else "default"
    return str((user_cache_dir(environ) / "gbench").resolve()), origin


def output_dir(given: str | None, variable: str, name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """A folder for output and its origin: the option, launch.sh's variable, or `name` in WORK_DIR or here."""
    work_dir = environ.get("WORK_DIR")
    if given or environ.get(variable):
        return absolute(given or environ[variable]), "option" if given else f"variable {variable}"
    return absolute(f"{work_dir or '.'}/{name}"), "variable WORK_DIR" if work_dir else "default"


def default_config_dir(environ: Mapping[str, str]) -> Path:
    """The config folder where no option names one."""
    return _Variables({}, environ).path("CONFIG", None, "configs")


def one_of(name: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    """`value`, in any case, as one of `choices`. Raises UsageError: it is not one. name: its argument or option."""
    for choice in choices:
        if choice.lower() == value.lower():
            return choice
    near = "AMP" if value.upper() == "FP16" and "AMP" in choices else None
    hint = f"did you mean {near}?" if near else f"choose one of {', '.join(choices)}"
    raise UsageError(f"{name} {value!r} is not known", hint)


def _origins(request: Request) -> dict[str, str]:
    """Origins of what has no variable: an argument, or an option where its value is not the default."""
    origins = dict.fromkeys(ARGUMENTS, "argument")
    for name, row in ROWS.items():
        if name not in ARGUMENTS and name in RunSpec.model_fields and not row.variable:
            origins[name] = "default" if getattr(request, name) == row.default else "option"
    return origins


def _config(request: Request, model_file: ModelFile, recipe: Recipe) -> tuple[ModelConfig, dict[str, str]]:
    """The model's config of this recipe, overridden by the options; and the origin of each value."""
    given = {row.setting: getattr(request, row.name) for row in ROWS.values() if row.setting}
    settings = [*request.settings, *(f"{key}={value}" for key, value in given.items() if value is not None)]
    if request.until_ci is not None and request.steps is None:
        settings.append("schedule.max_steps=null")  # the interval ends the run, not the recipe's number of steps
    if request.stop_on:
        settings.append(f"alarms.stop_on=[{', '.join(request.stop_on)}]")
    config = model_file.config(recipe)
    origins = dict.fromkeys(config.settings, "default")
    for section, values in config.model_dump(exclude_unset=True, exclude={"description"}).items():
        origins |= {f"{section}.{key}": "config" for key in values}
    origins |= {setting.partition("=")[0]: "option" for setting in settings}
    return override(config, settings, request.origins), origins
