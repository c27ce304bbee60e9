"""What there is to judge, and what to judge it by: run folders, logs, evaluations, references."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gbench.base.paths import project_file
from gbench.convergence.curves import of_log, of_run
from gbench.convergence.judge import Subject
from gbench.convergence.recipe import differences, not_allowed, recipe_of
from gbench.convergence.reference import Reference, load_reference
from gbench.errors import InfrastructureError, UsageError
from gbench.runfolder.folder import RunFolder

EVALUATION = Path("evaluations") / "final" / "evaluation.json"  # of `gbench eval`, below a convergence run's folder


def subject_of(path: Path, images: int | None, evaluation: Path | None = None) -> Subject:
    """A run folder, or a log in upstream's format.

    Args:
        images: how many of the first test images its image quality is taken over; None: all.
        evaluation: its evaluation.json, where it is not in the run folder.

    Raises:
        GbenchError: neither a run folder nor a log that can be read; or a broken evaluation.
    """
    if path.is_dir():
        folder = RunFolder(path)
        spec, curves = folder.spec(), of_run(folder)
        environment = folder.environment()
        place = evaluation or folder.path / EVALUATION
        quality = read_quality(place, images) if evaluation or place.exists() else None
        ended, rates = environment.ended is not None, environment.learning_rates
        return Subject(str(path), spec.model, curves, recipe_of(spec), quality, ended, rates)
    curves = of_log(path)
    quality = read_quality(evaluation, images) if evaluation else None
    last = int((curves.epochs == curves.last_epoch).sum())
    earlier = int((curves.epochs == curves.epochs[0]).sum())
    return Subject(str(path), None, curves, None, quality, last >= earlier)


def read_quality(path: Path, images: int | None) -> dict[str, float]:
    """Mean metrics of an evaluation.json of `gbench eval`, over the first images in lexicographic order.

    Empty where it has fewer images than that. A metric that is not finite for an image is left out.

    Raises:
        InfrastructureError: it can't be read, or is none.
        UsageError: it was made in another mode than a reference's.
    """
    try:
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        listed, statistics_in_use = evaluation["images"], evaluation.get("statistics")
        metrics = [image["metrics"] for image in sorted(listed, key=lambda image: str(image["name"]))]
        if len(metrics) < (images or 1):
            return {}
        chosen = metrics[:images]
        whole = [name for name in chosen[0] if all(one.get(name) is not None for one in chosen)]
        means = {name: statistics.fmean(one[name] for one in chosen) for name in whole}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InfrastructureError(
            f"{path} is no evaluation of images that can be read ({error!r})", "make it with gbench eval"
        ) from error
    if statistics_in_use == "running":
        raise UsageError(
            f"{path} was made with dropout off and running statistics, a reference's quality as upstream's test.py",
            "evaluate again without --eval-mode",
        )
    return means


def find_reference(given: Path | None, model: str | None) -> Reference:
    """The reference given; else the one in configs/reference/ for this model (None: the only one there is).

    Raises:
        UsageError: none, or several.
    """
    if given is not None:
        return load_reference(given)
    folder = project_file("configs/reference")
    found = [(path, load_reference(path)) for path in sorted(folder.glob("*.yaml"))]
    fitting = [(path, one) for path, one in found if model in (None, one.model)]
    if len(fitting) == 1:
        return fitting[0][1]
    which = f"MODEL {model}" if model else "a log"
    names = ", ".join(str(path) for path, _ in fitting)
    raise UsageError(
        f"{folder} holds {len(fitting)} references for {which}{': ' + names if names else ''}",
        "give one with --reference, or make one with --add-reference",
    )


def require_recipe(reference: Reference, recipe: dict[str, Any], allow: Iterable[str]) -> None:
    """Refuse a run that can't reproduce the reference, before it starts. Raises UsageError."""
    found = not_allowed(differences(recipe, reference.recipe), allow)
    if found:
        raise UsageError(
            "this run can't reproduce the reference: " + "; ".join(one.sentence for one in found),
            "mend the recipe, allow the difference with --allow FIELD, or leave out --check",
        )
