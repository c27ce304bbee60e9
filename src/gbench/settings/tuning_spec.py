"""The spec of a tuning, made from that of the run to tune for; and the command that tunes for a run."""

import os
import shlex
from pathlib import Path

from gbench.base.paths import DEFAULT_DATASETS_DIR, project_file
from gbench.errors import UsageError
from gbench.settings.model_file import load_model
from gbench.settings.resolve import Resolved, cache_dir_of, new_run_id
from gbench.settings.spec import RunSpec, TuningConfig
from gbench.settings.switches import setting, written

SIZES = ("preprocess", "load_size", "crop_size")  # the settings of the data that decide the size of a step


def of_run(run: Resolved, max_time_s: float) -> Resolved:
    """The tuning for a run. Raises UsageError: the run already has switches."""
    spec = run.spec
    if spec.config.speed.on:
        raise UsageError(
            f"gbench tune tries the switches by itself, and {written(spec.config.speed.on)} is given", "leave it out"
        )
    spec = spec.replaced(
        run_id=new_run_id("tune"),
        recipe="tuning",
        database=None,
        config={"data": {"source": "synthetic"}},
        run_model_file=str(project_file("scripts/pt-pix2pix.sh")),
        tuning=TuningConfig(max_time_s=max_time_s),
    )
    return Resolved(spec, {**run.origins, "data.source": "gbench tune", "RUN_MODEL_FILE": "gbench tune"})


def tune_command(spec: RunSpec) -> str:
    """The `gbench tune` that finds the switches for a run, to be typed where this process was started."""
    model_file = load_model(spec.model, Path(spec.config_dir))
    options = {
        "--device": (spec.device, "cuda"),
        "--runner": (spec.runner, "docker"),
        "--datasets-dir": (spec.datasets_dir, str(Path(DEFAULT_DATASETS_DIR).resolve())),
        "--dataset": (spec.dataset, model_file.dataset),
        "--cache-dir": (spec.cache_dir, cache_dir_of(None, os.environ)[0]),
        "--config": (spec.config_dir, str(project_file("configs"))),
        "--image": (spec.image, model_file.image),
        "--from-image": (spec.from_image, None),
    }
    words = ["gbench", "tune", spec.model, str(spec.batch_size), str(spec.device_count), spec.precision]
    for option, (value, default) in options.items():
        words += [option, value] if value is not None and value != default else []
    words += ["--deterministic"] if spec.deterministic else []
    defaults = model_file.config("performance").settings
    for key, value in spec.config.settings.items():
        if key.startswith(("network.", *(f"data.{size}" for size in SIZES))) and value != defaults[key]:
            words += ["--set", f"{key}={setting(value)}"]
    return shlex.join(words)
