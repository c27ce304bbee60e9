"""The recipe of a run: every setting that decides what its curves should be, and how two recipes differ."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gbench.errors import UsageError
from gbench.settings.spec import RunSpec

SECTIONS = ("network", "optim", "data")
SCHEDULE = ("epochs", "epochs_decay", "max_steps", "until_ci", "max_time_s", "drop_last")
NO_MATTER = ("data.workers",)  # decides how fast, not what


@dataclass(frozen=True)
class Difference:
    """A field in which a run's recipe is not the reference's."""

    field: str
    run: Any
    reference: Any

    @property
    def sentence(self) -> str:
        """It in words."""
        return f"{self.field} is {self.run}, the reference has {self.reference}"


def recipe_of(spec: RunSpec) -> dict[str, Any]:
    """The recipe as dotted names and values. Seed, precision, device and machine are no part of it."""
    config = spec.config.model_dump(mode="json")
    recipe = {f"{section}.{key}": value for section in SECTIONS for key, value in config[section].items()}
    recipe.update({f"schedule.{key}": config["schedule"][key] for key in SCHEDULE})
    if spec.config.optim.lr_policy != "step":
        del recipe["optim.lr_decay_iters"]
    kept = {key: value for key, value in recipe.items() if key not in NO_MATTER}
    return {"batch_size": spec.batch_size, "dataset": spec.dataset, **kept}


def differences(run: dict[str, Any], reference: dict[str, Any]) -> list[Difference]:
    """The fields in which two recipes differ, in the reference's order; one that a side lacks is None there."""
    fields = [*reference, *(field for field in run if field not in reference)]
    return [
        Difference(field, run.get(field), reference.get(field))
        for field in fields
        if run.get(field) != reference.get(field)
    ]


def not_allowed(found: list[Difference], allow: Iterable[str]) -> list[Difference]:
    """Those that are not among the fields allowed to differ, which may be named in full or by their last part."""
    allowed = set(allow)
    return [one for one in found if not allowed & {one.field, one.field.rpartition(".")[2]}]


def require_fields(allow: Iterable[str], known: Collection[str]) -> None:
    """Raises UsageError for a field that no recipe has."""
    names = {name for field in known for name in (field, field.rpartition(".")[2])}
    for field in allow:
        if field not in names:
            near = difflib.get_close_matches(field, sorted(names), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"--allow: a recipe has no field {field!r}", hint)


def one_recipe(found: Sequence[tuple[str | None, Mapping[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """The model and recipe that all runs of a reference have. Raises UsageError: none is known, or they differ."""
    if not found:
        raise UsageError("a log does not tell its recipe", "give MODEL BATCH_SIZE DEVICE_COUNT PRECISION with it")
    model, recipe = found[0]
    for _, other in found[1:]:
        apart = differences(dict(other), dict(recipe))
        if apart:
            raise UsageError(
                f"the runs have different recipes: {apart[0].field} is {apart[0].run} and {apart[0].reference}",
                "a reference is made from runs of one recipe",
            )
    return str(model), dict(recipe)
