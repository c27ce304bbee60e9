"""The verdict: whether runs reproduce a reference.

    not reproduced  the recipe differs, or a curve, the last epoch or the image quality is outside its tolerance, on
                    either side: of two seeds or more whose spread is measured, or by far
    inconclusive    too few seeds are just outside; or something is missing: the run did not finish, or its generator
                    was not evaluated
    reproduced      nothing is missing and everything is within its tolerance

The rule, its error rates and its limits: docs/convergence.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gbench.convergence.batch_sizes import AnyReference
from gbench.convergence.contrasts import CONTRASTS
from gbench.convergence.curves import LOSSES, Curves, whole
from gbench.convergence.recipe import RecipeDifference, differences, not_allowed, rate_otherwise
from gbench.convergence.seed_spread import LAST_EPOCH, QUALITY, WINDOW
from gbench.convergence.tolerance import MEASURED, Deviation, RunGroup, compare, exact, log_mean

Word = Literal["reproduced", "not reproduced", "inconclusive"]
# False rejection rate of each kind of comparison, over all its comparisons together (BAND_ERROR for the bands).
CONTRAST_ERROR = 0.02
LAST_EPOCH_ERROR = 0.005
QUALITY_ERROR = 0.005
ANOTHER_SEED = (
    "it is just outside, and too few seeds show how much seeds differ: run another seed, and judge all together"
)
NO_QUALITY = "quality"  # given to `allow` like a field of the recipe, it permits missing image quality


@dataclass(frozen=True)
class Subject:
    source: str
    model: str | None
    """None if unknown, as for a log."""
    curves: Curves
    recipe: Mapping[str, Any] | None
    """None if unknown; of a log only the fields that it states."""
    quality: Mapping[str, float] | None
    """Mean metrics of its test images; None if not evaluated."""
    ended: bool
    learning_rates: Sequence[Sequence[float]] | None = None
    """Of G and D in each epoch, read back from the optimisers; None if unknown."""
    partial: bool = False
    """Whether the recipe may lack fields."""
    seed: int | None = None
    """None if unknown, as for a log."""

    def differences(self, other: Mapping[str, Any]) -> list[RecipeDifference]:
        """How its recipe, as far as it is known, differs from another."""
        own = self.recipe or {}
        return differences(own, {name: other[name] for name in other if name in own or not self.partial})


@dataclass(frozen=True)
class Departure:
    """A loss with window means outside their band."""

    loss: str
    share: float
    """Mean relative deviation from the reference over the windows outside."""
    low: float
    """Lower tolerance of the deviation, in the window farthest outside; `high`: the upper one."""
    high: float
    first_epoch: int
    """Of the first window outside."""
    last_epoch: int
    """Of the last window outside."""
    windows: int
    """Number of windows outside."""
    clear: bool
    """Whether one of them is outside by far: `Deviation.clear`."""


@dataclass(frozen=True)
class Verdict:
    verdict: Word
    curves: Word
    """The verdict on everything except the recipe."""
    reasons: list[str]
    recipe: list[RecipeDifference]
    recipe_known: bool
    recipe_partial: bool
    """Whether only what a log states of it is known."""
    allowed: list[str]
    departures: list[Departure]
    comparisons: list[Deviation]
    """Contrasts, last epoch, image quality."""
    missing: list[str]
    runs: list[str]
    reference: str


def judge(reference: AnyReference, subjects: Sequence[Subject], allow: Iterable[str] = ()) -> Verdict:
    """Compare runs of one recipe with a reference. allow: fields of the recipe that may differ; or NO_QUALITY."""
    allowed = set(allow)
    recipe = _recipe(reference, subjects, allowed)
    broken = [text for subject in subjects for text in _not_finite(subject)]
    departures, comparisons = list[Departure](), list[Deviation]()
    missing = [text for subject in subjects for text in _missing(reference, subject, NO_QUALITY in allowed)]
    if not broken:
        departures = _departures(reference, subjects)
        comparisons = [part for find in (_contrasts, _last_epoch, _quality) for part in find(reference, subjects)]
    deviations = [one for one in comparisons if not one.inside]
    outside = [*broken, *map(_departure_text, departures), *map(_deviation_text, deviations)]
    seeds = {one.source if one.seed is None else one.seed for one in subjects}
    measured = len(seeds) > 1 and reference.degrees + len(seeds) - 1 >= MEASURED
    enough = measured or any(one.clear for one in departures) or any(one.clear for one in deviations)
    curves: Word = "reproduced"
    if broken or (outside and enough):
        curves = "not reproduced"
    elif outside or missing:
        curves = "inconclusive"
        outside += [ANOTHER_SEED] if outside else []
    reasons = [f"recipe: {one.sentence}" for one in recipe] + (outside or missing)
    return Verdict(
        verdict="not reproduced" if recipe else curves,
        curves=curves,
        reasons=reasons,
        recipe=recipe,
        recipe_known=all(subject.recipe is not None for subject in subjects),
        recipe_partial=any(subject.partial for subject in subjects),
        allowed=sorted(allowed),
        departures=departures,
        comparisons=comparisons,
        missing=missing,
        runs=[subject.source for subject in subjects],
        reference=reference.description,
    )


def _recipe(reference: AnyReference, subjects: Sequence[Subject], allowed: set[str]) -> list[RecipeDifference]:
    """How the recipes differ; learning rates that are not those of a run's own recipe count as a difference too."""
    apart: dict[str, RecipeDifference] = {}
    for subject in subjects:
        if subject.recipe is not None:
            for one in not_allowed(subject.differences(reference.recipe), allowed):
                apart.setdefault(one.field, one)
            ran = rate_otherwise(subject.recipe, subject.learning_rates)
            if ran is not None:
                apart.setdefault(ran.field, ran)
    return list(apart.values())


def _not_finite(subject: Subject) -> list[str]:
    curves = subject.curves
    return [
        f"{subject.source}: {name} became NaN or infinite in epoch {curves.epochs[np.argmin(np.isfinite(values))]}"
        for name, values in curves.losses.items()
        if not np.isfinite(values).all()
    ]


def _missing(reference: AnyReference, subject: Subject, without_quality: bool) -> list[str]:
    missing = []
    epochs = np.unique(subject.curves.epochs)
    lacking = np.setdiff1d(np.arange(1, reference.epochs + 1), epochs)
    if len(lacking):
        missing.append(
            f"{subject.source} is incomplete: no losses of {len(lacking)} of {reference.epochs} epochs, "
            f"the first of them epoch {lacking[0]}"
        )
    elif not subject.ended:
        missing.append(f"{subject.source} is incomplete: it ended before its last step")
    required = {name for name in QUALITY if reference.quality(name) is not None}
    absent = sorted(required - set(subject.quality or ()))
    if absent and not without_quality:
        why = "was not evaluated"
        if subject.quality is not None:
            few = f"is not judged: fewer images were evaluated than the reference's {reference.quality_images}"
            why = "is infinite for an image" if subject.quality else few
        missing.append(f"{subject.source}: image quality ({', '.join(absent)}) {why}")
    return missing


def _departures(reference: AnyReference, subjects: Sequence[Subject]) -> list[Departure]:
    """The losses outside their bands, over the windows that all runs have."""
    departures = []
    for loss in LOSSES:
        outside: dict[tuple[int, int], Deviation] = {}
        curves = [subject.curves.windows(loss, reference.windows) for subject in subjects]
        for place, epochs in enumerate(reference.windows):
            runs = [log_mean([window]) for window in whole([windows[place] for windows in curves])]
            if runs:
                trusted = reference.window(loss, place)
                deviation = compare(loss, RunGroup.of(runs), trusted, WINDOW[loss], reference.band_error)
                if not deviation.inside:
                    outside[epochs] = deviation
        if outside:
            furthest = max(outside.values(), key=lambda one: abs(one.z))
            share = float(np.mean([one.share for one in outside.values()]))
            first, last = min(outside)[0], max(outside)[1]
            clear = any(one.clear for one in outside.values())
            departures.append(Departure(loss, share, furthest.low, furthest.high, first, last, len(outside), clear))
    return departures


def _contrasts(reference: AnyReference, subjects: Sequence[Subject]) -> list[Deviation]:
    """Each contrast that can be computed for the reference and all runs."""
    shown = []
    for contrast in CONTRASTS:
        runs = [whole(subject.curves.windows(contrast.loss, reference.windows)) for subject in subjects]
        trusted = reference.contrast(contrast)
        if trusted is not None and all(runs) and all(map(contrast.fits, runs)):
            shown.append((contrast, RunGroup.of(list(map(contrast.figure, runs))), trusted))
    return [compare(one.name, runs, trusted, one.between, CONTRAST_ERROR / len(shown)) for one, runs, trusted in shown]


def _last_epoch(reference: AnyReference, subjects: Sequence[Subject]) -> list[Deviation]:
    """Mean losses of the last epoch, the published result, if all runs have it.

    It has too few lines to estimate their spread, so the error comes from the windows, with the last one's count.
    """
    deviations = []
    places = [*reference.windows, (reference.epochs, reference.epochs)]
    for loss in LOSSES:
        ends = [whole(subject.curves.windows(loss, places)[-2:]) for subject in subjects]
        if all(ends):
            runs = RunGroup.of([log_mean([replace(epoch, count=window.count)]) for window, epoch in ends])
            name, error = f"{loss} of epoch {reference.epochs}", LAST_EPOCH_ERROR / len(LOSSES)
            deviations.append(compare(name, runs, reference.last_epoch(loss), LAST_EPOCH[loss], error))
    return deviations


def _quality(reference: AnyReference, subjects: Sequence[Subject]) -> list[Deviation]:
    """Mean metrics of the test images, if the reference and all runs have them."""
    deviations = []
    for metric, between in QUALITY.items():
        trusted = reference.quality(metric)
        own = [subject.quality[metric] for subject in subjects if subject.quality and metric in subject.quality]
        if trusted is not None and len(own) == len(subjects):
            runs = RunGroup.of(list(map(exact, own)))
            deviations.append(compare(metric, runs, trusted, between, QUALITY_ERROR / len(QUALITY)))
    return deviations


def _departure_text(departure: Departure) -> str:
    epochs = f"epoch {departure.first_epoch} on" if departure.windows > 1 else f"epoch {departure.first_epoch}"
    return (
        f"{departure.loss} leaves its band from {epochs}: {_shift(departure.share)} the reference in "
        f"{departure.windows} windows up to epoch {departure.last_epoch} "
        f"(allowed {departure.low:+.0%} to {departure.high:+.0%})"
    )


def _deviation_text(one: Deviation) -> str:
    return f"{one.name} is {_shift(one.share)} the reference (allowed {one.low:+.1%} to {one.high:+.1%})"


def _shift(share: float) -> str:
    return f"{abs(share):.1%} {'above' if share > 0 else 'below'}"
