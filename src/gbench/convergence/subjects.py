"""Read what to judge, and the reference: run folders, logs, evaluations, reference files."""

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gbench.base.paths import project_file
from gbench.convergence.batch_sizes import AnyReference, for_batch_size
from gbench.convergence.curves import of_run
from gbench.convergence.judge import Subject, judge
from gbench.convergence.recipe import differences, not_allowed, recipe_of
from gbench.convergence.reference import FOLDER, load_reference, references_of
from gbench.convergence.training_log import read_log
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.runfolder.evaluation_result import FINAL, NAME, Image, read_evaluation_file
from gbench.runfolder.folder import RunFolder


def subject_of(path: Path, images: int | None, evaluation: Path | None = None) -> Subject:
    """Read a run folder, or a log in upstream's format.

    Args:
        images: number of first test images for the image quality; None: all.
        evaluation: its evaluation.json, or a folder of its test images; None: what is in the run folder, if anything.

    Raises GbenchError: neither a readable run folder nor a readable log; or a missing or broken evaluation.
    """
    in_folder = path / FINAL / NAME if path.is_dir() else None
    place = evaluation or in_folder
    quality = _quality_of(place, images) if place else None
    if evaluation is not None and quality is None:
        raise InfrastructureError(f"there is no evaluation {evaluation}", "create it with gbench eval")
    if path.is_dir():
        folder = RunFolder(path)
        spec, environment = folder.spec(), folder.environment()
        ended, rates = environment.ended is not None, environment.learning_rates
        return Subject(str(path), spec.model, of_run(folder), recipe_of(spec), quality, ended, rates, seed=spec.seed)
    log = read_log(path)
    curves, stated = log.curves, log.stated
    source = f"{path}, the last of {log.replaced + 1} runs in it" if log.replaced else str(path)
    last = int((curves.epochs == curves.last_epoch).sum())
    earlier = int((curves.epochs == curves.epochs[0]).sum())
    return Subject(source, None, curves, stated or None, quality, last >= earlier, partial=bool(stated))


def _quality_of(path: Path, images: int | None) -> dict[str, float] | None:
    """Mean metrics of an evaluation.json, None if it is missing; or of a folder of test images.

    Over the first images in lexicographic order; empty if there are fewer. Omits a metric that is infinite for one.

    Raises:
        InfrastructureError: it can't be read.
        UsageError: it was made in another mode than the reference's.
    """
    if path.is_dir():
        from gbench.pix2pix.image_metrics import folder_metrics  # loads PyTorch

        return _means(folder_metrics(path), images)
    evaluation = read_evaluation_file(path)
    if evaluation is None:
        return None
    if evaluation.statistics == "running":
        raise UsageError(
            f"{path} was made with dropout off and running statistics, a reference's quality as upstream's test.py",
            "evaluate again without --eval-mode",
        )
    return _means(evaluation.images, images)


def _means(evaluated: Iterable[Image], images: int | None) -> dict[str, float]:
    metrics = [image.metrics for image in sorted(evaluated, key=lambda image: image.name)][:images]
    if len(metrics) < (images or 1):
        return {}
    values = {name: [one.get(name) for one in metrics] for name in metrics[0]}
    finite = {name: [value for value in each if value is not None] for name, each in values.items()}
    return {name: statistics.fmean(each) for name, each in finite.items() if len(each) == len(metrics)}


def find_reference(given: Sequence[Path], model: str | None, batch_size: int | None) -> AnyReference:
    """The given references, else those in configs/reference/ for this model; of several, as `for_batch_size` chooses.

    Raises UsageError: there is none, or several that differ in more than their batch size.
    """
    fitting = [load_reference(path) for path in given] or list(references_of(model).values())
    if not fitting:
        which = f"MODEL {model}" if model else "a log"
        raise UsageError(
            f"{project_file(FOLDER)} holds no reference for {which}",
            "give one with --reference, or make one with --add-reference",
        )
    return for_batch_size(fitting, batch_size)


def verdict_of_run(folder: RunFolder) -> tuple[str, str]:
    """The verdict on a run against its model's reference, or `not judged`; and a sentence on why."""
    try:
        spec = folder.spec()
        reference = find_reference((), spec.model, spec.batch_size)
        if apart := differences(recipe_of(spec), reference.recipe):  # known before the many steps are read
            return "not judged", f"Its recipe is not the reference's: {apart[0].sentence}."
        found = judge(reference, [subject_of(folder.path, reference.quality_images)])
    except GbenchError as error:
        return "not judged", f"{error.what}."
    return found.verdict, f"{'; '.join(found.reasons[:2]) or f'Against {found.reference}'}."


def require_recipe(reference: AnyReference, recipe: dict[str, Any], allow: Iterable[str]) -> None:
    """Check before a run starts that it can reproduce the reference. Raises UsageError: the recipes differ."""
    refused = not_allowed(differences(recipe, reference.recipe), allow)
    if refused:
        raise UsageError(
            "this run can't reproduce the reference: " + "; ".join(one.sentence for one in refused),
            "fix the recipe, allow the difference with --allow FIELD, or leave out --check",
        )
