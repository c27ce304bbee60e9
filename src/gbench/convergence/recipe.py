"""The recipe of a run: every setting that affects its loss curves; and the differences of two recipes."""

import difflib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gbench.errors import UsageError
from gbench.settings.linear_policy import linear_factor
from gbench.settings.model_config import ModelConfig
from gbench.settings.spec import RunSpec

SECTIONS = ("network", "optim", "data")
SCHEDULE = ("epochs", "epochs_decay", "max_steps", "until_ci", "max_time_s", "drop_last")
NO_MATTER = ("data.workers", "data.source")  # affect speed only


@dataclass(frozen=True)
class RecipeDifference:
    """A field in which a run's recipe differs from the reference's."""

    field: str
    run: Any
    reference: Any
    by: str = "the reference has"
    """Words before the expected value."""

    @property
    def sentence(self) -> str:
        run, reference = ("none" if value is None else value for value in (self.run, self.reference))
        return f"{self.field} is {run}, {self.by} {reference}"


def recipe_of(spec: RunSpec) -> dict[str, Any]:
    """The recipe as dotted names and values, without seed, precision, device and machine."""
    recipe = {"batch_size": spec.batch_size, "dataset": spec.dataset, **_settings(spec.config)}
    if spec.config.optim.lr_policy != "step":
        del recipe["optim.lr_decay_iters"]
    return recipe


def _settings(config: ModelConfig) -> dict[str, Any]:
    values = config.model_dump(mode="json")
    settings = {f"{section}.{key}": value for section in SECTIONS for key, value in values[section].items()}
    settings.update({f"schedule.{key}": values["schedule"][key] for key in SCHEDULE})
    return {key: value for key, value in settings.items() if key not in NO_MATTER}


def differences(run: Mapping[str, Any], reference: Mapping[str, Any]) -> list[RecipeDifference]:
    """The fields in which two recipes differ. A field that one lacks, as older versions did, counts as its default."""
    defaults = _settings(ModelConfig())
    fields = [*reference, *(field for field in run if field not in reference)]
    both = [
        RecipeDifference(field, *(recipe.get(field, defaults.get(field)) for recipe in (run, reference)))
        for field in fields
    ]
    return [one for one in both if one.run != one.reference]


def rate_otherwise(
    recipe: Mapping[str, Any], learning_rates: Sequence[Sequence[float]] | None
) -> RecipeDifference | None:
    """The first learning rate of a run's optimisers that is not the one of its recipe, if any: linear policy only.

    learning_rates: of G and D in each epoch, from environment.json; None if unknown.
    """
    if learning_rates is None or recipe["optim.lr_policy"] != "linear":
        return None
    schedule = recipe["schedule.epochs"], recipe["schedule.epochs_decay"]
    for epoch, rates in enumerate(learning_rates, 1):
        expected = recipe["optim.lr"] * linear_factor(*schedule, epoch)
        for network, rate in zip("GD", rates, strict=True):
            if not math.isclose(rate, expected, rel_tol=1e-6, abs_tol=1e-12):
                return RecipeDifference(
                    f"the learning rate of {network}'s optimiser in epoch {epoch}", rate, expected, "its recipe means"
                )
    return None


def not_allowed(apart: list[RecipeDifference], allow: Iterable[str]) -> list[RecipeDifference]:
    """The differences that are not allowed. `allow`: fields by their full name or its last part."""
    allowed = set(allow)
    return [one for one in apart if not allowed & {one.field, one.field.rpartition(".")[2]}]


def require_fields(allow: Iterable[str], known: Collection[str]) -> None:
    """Raises UsageError: no recipe has such a field."""
    names = {name for field in known for name in (field, field.rpartition(".")[2])}
    for field in allow:
        if field not in names:
            near = difflib.get_close_matches(field, sorted(names), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"--allow: a recipe has no field {field!r}", hint)


def one_recipe(recipes: Sequence[tuple[str | None, Mapping[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """The common model and recipe of all runs of a reference. Raises UsageError: none is known, or they differ."""
    if not recipes:
        raise UsageError("a log does not contain its recipe", "give MODEL BATCH_SIZE DEVICE_COUNT PRECISION with it")
    model, recipe = recipes[0]
    for _, other in recipes[1:]:
        apart = differences(other, recipe)
        if apart:
            raise UsageError(
                f"the runs have different recipes: {apart[0].field} is {apart[0].run} and {apart[0].reference}",
                "a reference is made from runs of one recipe",
            )
    return str(model), dict(recipe)
