"""The models that can be launched: one YAML file each in the config folder, validated when read."""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from gbench.base.invalid import first_problem
from gbench.base.untrusted import NO_YAML, load_yaml, not_yaml, read_text
from gbench.errors import RecordError, UsageError
from gbench.settings.literals import Recipe
from gbench.settings.model_config import Frozen, ModelConfig, ScheduleConfig

# Options of upstream's train.py (options/ at 003efc4c) whose setting has another name here.
UPSTREAM_OPTIONS = {
    "n_epochs": "schedule.epochs",
    "n_epochs_decay": "schedule.epochs_decay",
    "no_dropout": "network.dropout",
    "no_flip": "data.flip",
    "num_threads": "data.workers",
    "print_freq": "schedule.print_every",
    "save_epoch_freq": "schedule.checkpoint_every",
    "serial_batches": "data.shuffle",
}

# The original's convergence records have this model, which is also the only MODEL that its run script takes.
ALIASES = {"pix2pix": "pix2pix_resnet_9blocks"}


class RecipeFile(Frozen):
    run_model_file: str
    schedule: dict[str, Any] = Field(default_factory=dict)


class ModelFile(ModelConfig):
    """The contents of `configs/MODEL.yaml`."""

    record_name: str
    framework: str = "PyTorch"
    dataset: str = "facades"
    code_link: str
    image: str = "gbench:pix2pix"
    dockerfile: str = "Dockerfile"
    recipes: dict[Recipe, RecipeFile]

    def recipe_of(self, run_model_file: str) -> Recipe | None:
        """The recipe whose run script has this file's name, if any."""
        name = Path(run_model_file).name
        return next((key for key, r in self.recipes.items() if Path(r.run_model_file).name == name), None)

    def config(self, recipe: Recipe) -> ModelConfig:
        """The model's values, overridden by the schedule of a recipe."""
        schedule = {**self.schedule.model_dump(exclude_unset=True), **self.recipes[recipe].schedule}
        values = {name: getattr(self, name) for name in ModelConfig.model_fields}
        return ModelConfig(**{**values, "schedule": ScheduleConfig(**schedule)})


def model_names(config_dir: Path) -> list[str]:
    """Names of the models in a config folder, sorted. Raises UsageError: there is no such folder."""
    if not config_dir.is_dir():
        raise UsageError(f"CONFIG {config_dir} is not a folder", "give the folder that holds MODEL.yaml with --config")
    return sorted(path.stem for path in config_dir.iterdir() if path.suffix == ".yaml")


def model_name(model: str, config_dir: Path) -> str:
    """The name of a model's file, for a name or an alias. A file with the alias's name comes first."""
    return model if (config_dir / f"{model}.yaml").is_file() else ALIASES.get(model, model)


def record_names(model: str) -> set[str]:
    """The names that a model may have in records: `pix2pix_unet_256` is `pix2pix-unet_256` there; of an alias, both."""
    return {model, ALIASES.get(model, model).replace("_", "-", 1)}


def load_model(model: str, config_dir: Path) -> ModelFile:
    """Read and check `config_dir/model.yaml`.

    Raises UsageError: no such folder or model, unreadable YAML, or a key or value that is not allowed.
    """
    names = model_names(config_dir)
    model = model_name(model, config_dir)
    path = config_dir / f"{model}.yaml"
    if model not in names:
        near = difflib.get_close_matches(model, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)};"
        if not names:
            hint = "it holds no MODEL.yaml: unset CONFIG for the project's own."
        raise UsageError(f"MODEL {model!r} is not in {config_dir}", f"{hint} `gbench models` lists them")
    with yaml_errors(path):
        values = load_yaml(read_text(path, "fix the file"))
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no mapping", "see the project's configs/ for the form")
    try:
        file = ModelFile(**values)
        for recipe in file.recipes:
            file.config(recipe)
    except (ValidationError, TypeError) as error:
        raise UsageError(f"{path}: {first_problem(error)}", "fix the file") from error
    if "performance" not in file.recipes:
        raise UsageError(f"{path}: recipes has no `performance`", "add it; the project's configs/ show the form")
    return file


@contextmanager
def yaml_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a YAML file into a UsageError."""
    try:
        yield
    except RecordError as error:
        raise UsageError(error.what, error.hint) from error
    except NO_YAML as error:
        raise UsageError(*not_yaml(str(path), error, "fix the file")) from error


def _setting_meant(key: str, known: list[str]) -> str | None:
    """The setting that a wrong key seems to mean: upstream's name, its last part alone, other order, or misspelt."""
    leaf = key.rpartition(".")[2].lower()
    leaves = {name.rpartition(".")[2].lower(): name for name in known}
    if found := UPSTREAM_OPTIONS.get(leaf) or leaves.get(leaf):
        return found
    for name in known:
        if sorted(re.split("[._]", name)) == sorted(re.split("[._]", key)):
            return name
    near = difflib.get_close_matches(key, known, n=1) or difflib.get_close_matches(leaf, leaves, n=1)
    return leaves.get(near[0], near[0]) if near else None


def override(config: ModelConfig, settings: list[str], origins: Mapping[str, str] | None = None) -> ModelConfig:
    """`config` overridden by `KEY=VALUE` settings; KEY is dotted (`network.ngf`), VALUE is YAML.

    origins: where a key is from, for errors, if not from --set.
    Raises UsageError: not of that form, an unknown key, or an invalid value.
    """
    values = config.model_dump()
    for setting in settings:
        key, equals, text = setting.partition("=")
        *parents, leaf = key.split(".")
        where = (origins or {}).get(key, "--set")
        if not equals:
            raise UsageError(f"--set {setting!r} is not KEY=VALUE", "write it like --set network.ngf=16")
        place: Any = values
        for part in parents:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or leaf not in place:
            near = _setting_meant(key, list(config.settings))
            hint = f"did you mean {near}?" if near else "`gbench models MODEL` lists the keys"
            raise UsageError(f"{where}: there is no setting {key!r}", hint)
        try:
            place[leaf] = load_yaml(text)
        except NO_YAML as error:
            raise UsageError(*not_yaml(f"{where} {key}: {text!r}", error, "quote it")) from error
        try:
            ModelConfig(**values)
        except ValidationError as error:
            hint = "`gbench models MODEL` shows the values in use"
            raise UsageError(f"{where} {first_problem(error)}", hint) from error
    return ModelConfig(**values)
