"""The recipe of a run: every setting that decides what its curves should be, and how two recipes differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
