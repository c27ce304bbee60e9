"""From what the user gave to one RunSpec, and where each value came from.

Precedence: option > variable > `configs/MODEL.yaml` > default. Nothing below this module reads argv or the environment.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar, get_args

from gbench.base.paths import expanded, project_file
from gbench.errors import UsageError
from gbench.settings.model_file import ModelFile, load_model, override
from gbench.settings.quantities import problem_of_variable
from gbench.settings.spec import VARIABLE_FIELDS, Device, ModelConfig, Precision, Recipe, RunnerName, RunSpec
from gbench.settings.switches import check_speed, profile_of

# What launch.sh's documentation exports, and the file of this project that has that job now.
LAUNCH_SH_FILES = {
    "PyTorch/pix2pix/Dockerfile": "Dockerfile",
    "PyTorch/pix2pix/configs": "configs",
    "PyTorch/pix2pix/pt-pix2pix.sh": "scripts/pt-pix2pix.sh",
    "PyTorch/pix2pix/pt-pix2pix-convergency.sh": "scripts/pt-pix2pix-convergency.sh",
}
DEFAULT_DATASETS_DIR = "data"  # below it, where `gbench data prepare facades` puts its dataset
DEFAULT_CNDB_DIR = "cndb"
Choice = TypeVar("Choice", bound=str)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEVICES: tuple[Device, ...] = get_args(Device)
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)
COMMIT_ID = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{7,64}(?![0-9a-zA-Z])")


@dataclass(frozen=True)
class Request:
    """What the command line said; None or empty where it said nothing."""

    model: str
    batch_size: int
    device_count: int
    precision: str
    recipe: Recipe = "performance"  # where neither an option nor a variable names a run script
    database: str | None = None
    ignore_check: bool = False
    device: str = "cuda"
    runner: str = "docker"
    steps: int | None = None
    warmup: int | None = None
    until_ci: float | None = None
    max_time_s: float | None = None
    seed: int = 0
    deterministic: bool = False
    timeout_s: float | None = None
    from_image: str | None = None
    stop_on: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    data_source: str | None = None
    profile: str | None = None
    cache_dir: str | None = None
    cache_limit_gib: float = 4.0
    options: Mapping[str, str] = field(default_factory=dict)  # by variable name: {"CONT": ...}
    results_dir: str = "results"
    logs_dir: str = "logs"
    command_line: str = ""


@dataclass(frozen=True)
class Resolved:
    """A RunSpec, and for each value where it came from (`option --steps`, `variable CONT`, `config`, `default`)."""

    spec: RunSpec
    origins: dict[str, str]


def all_from(spec: RunSpec, origin: str) -> Resolved:
    """A spec all of whose values come from one place: a run, a record, a session."""
    names = [*VARIABLE_FIELDS, *RunSpec.model_fields]
    for section in ModelConfig.model_fields:
        names += [f"{section}.{key}" for key in getattr(type(getattr(spec.config, section)), "model_fields", ())]
    return Resolved(spec, dict.fromkeys(names, origin))


def new_run_id(model: str, now: datetime | None = None) -> str:
    """`<utc>-<model>-<short id>`: sorts by time, reads, never collides."""
    utc = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    return f"{utc}-{model}-{secrets.token_hex(3)}"


class _Values:
    """Looks the eight variables up in order of precedence and notes the origin of each."""

    def __init__(self, request: Request, environ: Mapping[str, str]) -> None:
        self.request, self.environ = request, environ
        self.origins: dict[str, str] = {}

    def get(self, variable: str, config: str | None, default: str) -> str:
        option = self.request.options.get(variable)
        for value, origin in (
            (option, "option"),
            (self.environ.get(variable), f"variable {variable}"),
            (config, "config"),
            (default, "default"),
        ):
            if value:
                self.origins[variable] = origin
                return value
        raise UsageError(f"{variable} has no value", f"export {variable} or give the option")

    def path(self, variable: str, config: str | None, default: str) -> Path:
        """Like get, for a path: relative to the working folder, from a config or default relative to the project."""
        text = self.get(variable, config, default)
        if self.origins[variable] in ("config", "default"):
            return project_file(text)
        path = expanded(text)
        successor = LAUNCH_SH_FILES.get(path.as_posix().removeprefix("./"))
        if successor and not path.exists():
            self.origins[variable] += f": launch.sh's {text}, here {successor}"
            return project_file(successor)
        return path.resolve()


def resolve(request: Request, environ: Mapping[str, str]) -> Resolved:
    """Resolve and check everything that can be checked without looking at Docker, devices or the dataset.

    Raises:
        UsageError: a value that is missing, not allowed, or contradicts another one.
    """
    values = _Values(request, environ)
    config_dir = values.path("CONFIG", None, "configs")
    model_file = load_model(request.model, config_dir)
    if request.recipe not in model_file.recipes:
        raise UsageError(f"MODEL {request.model!r} has no recipe {request.recipe}", "add it to its config")
    run_script = values.path("RUN_MODEL_FILE", model_file.recipes[request.recipe].run_model_file, "")
    recipe = model_file.recipe_of(str(run_script))
    config = _config(request, model_file, recipe or "performance", values.origins)
    code_link = values.get("CODE_LINK", model_file.code_link, "")
    visible = visible_devices(request.device, request.runner, environ)
    if visible is not None:
        values.origins["cuda_visible_devices"] = "variable CUDA_VISIBLE_DEVICES"
    cache_dir, values.origins["cache_dir"] = cache_dir_of(request.cache_dir, environ)
    of_script = {**environ, **request.env}
    if "OMP_NUM_THREADS" in of_script:
        values.origins["omp_num_threads"] = "variable OMP_NUM_THREADS"
    if config.speed.on:
        values.origins["profile"] = "switches of speed"
    spec = RunSpec(
        run_id=new_run_id(request.model),
        model=request.model,
        recipe=recipe or "custom",
        record_name=model_file.record_name,
        framework=model_file.framework,
        batch_size=request.batch_size,
        device_count=request.device_count,
        precision=one_of("PRECISION", request.precision, PRECISIONS),
        device=one_of("--device", request.device, DEVICES),
        runner=one_of("--runner", request.runner, RUNNERS),
        database=request.database,
        ignore_check=request.ignore_check,
        seed=request.seed,
        deterministic=request.deterministic,
        timeout_s=request.timeout_s,
        config=config,
        image=values.get("CONT", model_file.image, ""),
        dockerfile=str(values.path("DOCKERFILE", model_file.dockerfile, "")),
        from_image=request.from_image,
        dataset=values.get("DATASETS", model_file.dataset, ""),
        datasets_dir=str(expanded(values.get("DATASETS_DIR", None, DEFAULT_DATASETS_DIR)).resolve()),
        dataset_subdir="",
        cndb_dir=str(expanded(values.get("CNDB_DIR", None, DEFAULT_CNDB_DIR)).resolve()),
        code_link=code_link,
        run_model_file=str(run_script),
        config_dir=str(config_dir),
        results_dir=str(expanded(request.results_dir).resolve()),
        logs_dir=str(expanded(request.logs_dir).resolve()),
        command_line=request.command_line,
        cache_dir=cache_dir,
        cache_limit_gib=request.cache_limit_gib,
        env=dict(request.env),
        cuda_visible_devices=visible,
        omp_num_threads=omp_num_threads(of_script),
        profile=profile_of(request.profile, config.speed),
    )
    check_spec(spec)
    return Resolved(spec, {**_request_origins(request), **values.origins})


def visible_devices(device: str, runner: str, environ: Mapping[str, str]) -> str | None:
    """CUDA_VISIBLE_DEVICES, where it decides which GPUs run; None where it is not set, or is nobody's business."""
    return environ.get("CUDA_VISIBLE_DEVICES") if (device, runner) == ("cuda", "local") else None


def omp_num_threads(environ: Mapping[str, str]) -> int | None:
    """OMP_NUM_THREADS, of a list the first; None where it is not set. Raises UsageError: it is no number of threads."""
    text = environ.get("OMP_NUM_THREADS")
    if not text:
        return None
    first = text.split(",")[0].strip()
    if not (first.isdecimal() and int(first)):
        raise UsageError(f"OMP_NUM_THREADS {text!r} is no number of threads", "unset it, or export OMP_NUM_THREADS=4")
    return int(first)


def cache_dir_of(given: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """Where decoded pairs are kept, --cache-dir, else below the user's folder for caches; and the origin of that."""
    if given is not None:
        chosen, origin = Path(given), "option"
    elif environ.get("XDG_CACHE_HOME"):
        chosen, origin = Path(environ["XDG_CACHE_HOME"], "gbench"), "variable XDG_CACHE_HOME"
    else:
        chosen, origin = Path("~/.cache/gbench"), "default"
    return str(expanded(chosen).resolve()), origin


def default_config_dir(environ: Mapping[str, str]) -> Path:
    """The config folder where no option names one."""
    return _Values(Request("", 1, 1, ""), environ).path("CONFIG", None, "configs")


def one_of(name: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    """`value`, which is one of `choices`. Raises UsageError: it is not; `name` is what it was given as."""
    for choice in choices:
        if choice == value:
            return choice
    near = next((c for c in choices if c.lower() == value.lower()), None)
    hint = f"did you mean {near}?" if near else f"choose one of {', '.join(choices)}"
    raise UsageError(f"{name} {value!r} is not known", hint)


ARGUMENTS = ("model", "batch_size", "device_count", "precision", "database", "ignore_check")
OPTIONS = (
    *("device", "runner", "seed", "deterministic", "timeout_s", "from_image", "results_dir", "logs_dir"),
    *("cache_limit_gib", "env", "profile"),
)


def _request_origins(request: Request) -> dict[str, str]:
    """Origins of what has no variable: an argument, or an option where its value is not the default."""
    silent = Request(request.model, request.batch_size, request.device_count, request.precision)
    origins = dict.fromkeys(ARGUMENTS, "argument")
    for name in OPTIONS:
        origins[name] = "default" if getattr(request, name) == getattr(silent, name) else "option"
    return origins


def _config(request: Request, model_file: ModelFile, recipe: Recipe, origins: dict[str, str]) -> ModelConfig:
    """The model's config of this recipe, with --steps, --warmup, --data and --set laid over it."""
    settings = list(request.settings)
    steps: float | str | None = request.steps
    if request.until_ci is not None and steps is None:
        steps = "null"  # the interval ends the run, and not the recipe's number of steps
    given = {
        "max_steps": steps,
        "warmup_steps": request.warmup,
        "until_ci": request.until_ci,
        "max_time_s": request.max_time_s,
    }
    settings += [f"schedule.{key}={value}" for key, value in given.items() if value is not None]
    settings += [f"data.source={request.data_source}"] if request.data_source is not None else []
    if request.stop_on:
        settings.append(f"alarms.stop_on=[{', '.join(request.stop_on)}]")
    config = override(model_file.config(recipe), settings)
    schedule = {**model_file.schedule, **model_file.recipes[recipe].schedule}
    for section in ("network", "optim", "data", "schedule", "measure", "speed", "alarms"):
        named = set(schedule) if section == "schedule" else getattr(model_file, section).model_fields_set
        for key in type(getattr(config, section)).model_fields:
            origins[f"{section}.{key}"] = "config" if key in named else "default"
    for setting in settings:
        origins[setting.partition("=")[0]] = "option"
    return config


def check_spec(spec: RunSpec) -> None:
    """What can be said of a spec without looking at the machine. Raises UsageError: values that contradict."""
    if spec.batch_size % spec.world_size:
        below, above = (
            spec.batch_size // spec.world_size * spec.world_size,
            -(-spec.batch_size // spec.world_size) * spec.world_size,
        )
        choices = f"{below} or {above}" if below else str(above)
        raise UsageError(
            f"BATCH_SIZE {spec.batch_size}, the total over all devices, can't be divided evenly over {spec.world_size}",
            f"take {choices}",
        )
    check_speed(spec)
    if spec.precision == "TF32" and spec.device == "cpu":
        raise UsageError(
            "PRECISION TF32 does not exist on --device cpu", "take FP32, or a GPU of compute capability 8.0 or more"
        )
    if not COMMIT_ID.search(spec.code_link):
        raise UsageError(
            f"CODE_LINK {spec.code_link!r} holds no commit id",
            "link to the code at a commit (7 to 64 hex digits), not at a branch",
        )
    for variable, path in (("RUN_MODEL_FILE", spec.run_model_file), ("DOCKERFILE", spec.dockerfile)):
        if not Path(path).is_file():
            raise UsageError(
                f"{variable} {path} is not a file", f"mend the path, or leave {variable} out for the project's own"
            )
    for name, value in spec.env.items():
        if problem := problem_of_variable(name, value):
            raise UsageError(f"--env {name!r} {problem}", "give it another one, or leave it out")
    schedule = spec.config.schedule
    if schedule.max_steps is not None and schedule.warmup_steps >= schedule.max_steps:
        raise UsageError(
            f"{schedule.warmup_steps} warm-up steps leave none of {schedule.max_steps} steps to measure",
            f"give fewer with --warmup, e.g. --warmup {schedule.max_steps // 2}, or more with --steps",
        )
    if schedule.max_warmup_steps is not None and schedule.max_warmup_steps < schedule.warmup_steps:
        raise UsageError(
            f"schedule.max_warmup_steps {schedule.max_warmup_steps} is below "
            f"the {schedule.warmup_steps} steps that are left out in any case",
            "raise it, or give fewer with --warmup",
        )
    if schedule.until_ci is not None and schedule.max_steps is None and schedule.max_time_s is None:
        raise UsageError("--until-ci alone might never end", "give --max-time too, e.g. --max-time 10m")
    stop_on = spec.config.alarms.stop_on
    if stop_on and spec.recipe != "convergence":
        raise UsageError("alarms.stop_on is for convergence runs: no other is watched", "use gbench converge")
    if "collapse" in stop_on and spec.config.optim.gan_mode == "wgangp":
        raise UsageError("the losses of gan_mode wgangp do not show whether D collapses", "take --stop-on nan,flat")
    data, network = spec.config.data, spec.config.network
    if data.source == "synthetic" and spec.recipe == "convergence":
        raise UsageError("--data synthetic is one batch of noise, to which nothing converges", "take another --data")
    if data.preprocess == "resize_and_crop" and data.crop_size > data.load_size:
        raise UsageError(
            f"data.crop_size {data.crop_size} is larger than data.load_size {data.load_size}",
            f"--set data.load_size={round(data.crop_size * 286 / 256)} keeps upstream's proportion",
        )
    smallest = 3 << network.n_layers_D  # a PatchGAN of n layers halves n times and must keep one patch
    if network.netD != "pixel" and "crop" in data.preprocess and data.crop_size < smallest:
        raise UsageError(
            f"data.crop_size {data.crop_size} is too small for a discriminator of {network.n_layers_D} layers",
            f"take at least {smallest}, or --set network.netD=pixel",
        )
    multiple = {"unet_256": 256, "unet_128": 128}.get(network.netG, 4)
    if "crop" in data.preprocess and data.crop_size % multiple:
        raise UsageError(
            f"data.crop_size {data.crop_size} does not fit {network.netG}", f"take a multiple of {multiple}"
        )
