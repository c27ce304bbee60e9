"""Verdicts on run folders with drawn losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from convergence_runs import EPOCHS, SETTINGS, STEPS, convergence_run
from gbench.convergence.judge import Subject, Verdict, judge
from gbench.convergence.make_reference import make_reference
from gbench.convergence.recipe import recipe_of
from gbench.convergence.reference import Reference
from gbench.convergence.subjects import subject_of
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def spec(make_spec: MakeSpec) -> RunSpec:
    return make_spec(recipe="convergence", steps=None, batch_size=1, settings=SETTINGS)


@pytest.fixture
def reference(spec: RunSpec) -> Reference:
    trusted = subject_of(convergence_run(spec, seed=100).path, None)
    return make_reference(spec.model, "drawn", recipe_of(spec), [trusted])


def verdict(reference: Reference, spec: RunSpec, allow: tuple[str, ...] = (), **changes: Any) -> Verdict:
    return judge(reference, [subject_of(convergence_run(spec, **changes).path, None)], allow)


def test_another_seed_reproduces(reference: Reference, spec: RunSpec) -> None:
    found = verdict(reference, spec, seed=1)
    assert (found.verdict, found.reasons, found.recipe_known) == ("reproduced", [], True)


@pytest.mark.parametrize(
    ("name", "factor"), [("G_L1", 0.8), ("G_L1", 1.25), ("G_GAN", 0.5), ("D_real", 3.0), ("D_fake", 0.2)]
)
def test_a_shift_to_either_side_is_not_a_reproduction(
    reference: Reference, spec: RunSpec, name: str, factor: float
) -> None:
    found = verdict(reference, spec, seed=1, factors={name: factor})
    assert found.verdict == "not reproduced"
    assert {one.name.split()[0] for one in found.comparisons if not one.inside} == {name}
    (contrast,) = (one for one in found.comparisons if one.name == f"{name} over the whole run")
    assert contrast.share == pytest.approx(factor - 1, rel=0.2)


def test_one_seed_just_outside_asks_for_another(reference: Reference, spec: RunSpec) -> None:
    factors = {"G_L1": 1.08}
    found = verdict(reference, spec, seed=1, factors=factors)
    assert (found.verdict, found.curves) == ("inconclusive", "inconclusive")
    assert found.reasons[0].startswith("G_L1") and found.reasons[-1].endswith(
        "run another seed, and judge all together"
    )
    shifted = [subject_of(convergence_run(spec, seed=seed, factors=factors).path, None) for seed in range(2, 7)]
    assert judge(reference, shifted[:2]).verdict == "inconclusive"  # two seeds and one run: too few to measure a spread
    assert judge(reference, shifted).verdict == "not reproduced"
    assert judge(reference, [replace(one, seed=2) for one in shifted]).verdict == "inconclusive"


def test_a_shift_in_the_second_half_is_placed_there(reference: Reference, spec: RunSpec) -> None:
    subject = subject_of(convergence_run(spec, seed=1).path, None)
    late = subject.curves.epochs > EPOCHS // 2
    subject.curves.losses["G_L1"][late] *= 1.5
    (departure,) = judge(reference, [subject]).departures
    assert (departure.loss, departure.first_epoch, departure.last_epoch) == ("G_L1", EPOCHS // 2 + 1, EPOCHS)


def test_another_recipe_is_named_first_and_judged_separately(reference: Reference, make_spec: MakeSpec) -> None:
    doubled = make_spec(recipe="convergence", steps=None, batch_size=1, settings=(*SETTINGS, "optim.lr=4e-4"))
    found = verdict(reference, doubled, seed=1)
    assert (found.verdict, found.curves) == ("not reproduced", "reproduced")
    assert found.reasons == ["recipe: optim.lr is 0.0004, the reference has 0.0002"]
    for allowed in ("optim.lr", "lr"):
        assert verdict(reference, doubled, seed=2 + len(allowed), allow=(allowed,)).verdict == "reproduced"


def test_a_run_that_was_ended_is_inconclusive(reference: Reference, spec: RunSpec) -> None:
    found = verdict(reference, spec, seed=1, steps=EPOCHS * STEPS - 3)
    assert found.verdict == "inconclusive" and "ended before its last step" in found.reasons[0]
    early = verdict(reference, spec, seed=2, steps=30 * STEPS)
    assert (
        early.verdict == "inconclusive"
        and "no losses of 10 of 40 epochs, the first of them epoch 31" in early.reasons[0]
    )


def test_a_run_that_became_nan_is_not_a_reproduction(reference: Reference, spec: RunSpec) -> None:
    subject = subject_of(convergence_run(spec, seed=1).path, None)
    subject.curves.losses["G_GAN"][10 * STEPS :] = math.nan
    found = judge(reference, [subject])
    assert found.verdict == "not reproduced" and found.reasons[0].endswith("G_GAN became NaN or infinite in epoch 11")


def test_image_quality_counts_to_both_sides_and_its_absence_too(reference: Reference, spec: RunSpec) -> None:
    run = reference.runs[0].model_copy(update={"quality": {"MAE": 0.35, "PSNR": 13.0}})
    measured = reference.model_copy(update={"runs": [run], "quality_images": 50})
    subject = subject_of(convergence_run(spec, seed=1).path, None)

    def on(quality: dict[str, float] | None, *allow: str) -> str:
        return judge(measured, [Subject(**{**vars(subject), "quality": quality})], allow).verdict

    assert on({"MAE": 0.352, "PSNR": 12.95}) == "reproduced"
    assert on({"MAE": 0.50, "PSNR": 13.0}) == on({"MAE": 0.20, "PSNR": 13.0}) == "not reproduced"
    assert on(None) == on({"MAE": 0.35}) == "inconclusive"
    assert on(None, "quality") == "reproduced"
    few = judge(measured, [Subject(**{**vars(subject), "quality": {}})]).reasons
    assert few[0].endswith("(MAE, PSNR) is not judged: fewer images were evaluated than the reference's 50")


def test_several_runs_are_held_to_less_than_one(reference: Reference, spec: RunSpec) -> None:
    subjects = [subject_of(convergence_run(spec, seed=seed).path, None) for seed in range(1, 6)]
    one, five = judge(reference, subjects[:1]), judge(reference, subjects)
    assert one.verdict == five.verdict == "reproduced"
    widths = [[each.high for each in found.comparisons if "whole run" in each.name] for found in (one, five)]
    assert sum(widths[1]) < sum(widths[0])


def test_a_reference_of_several_runs_uses_their_spread(spec: RunSpec) -> None:
    near = [subject_of(convergence_run(spec, seed=seed).path, None) for seed in range(3)]
    far = [
        subject_of(convergence_run(spec, seed=seed + 3, factors={"G_L1": 0.7 + 0.3 * seed}).path, None)
        for seed in range(3)
    ]
    widths = []
    for trusted in (near, far):
        bands = make_reference(spec.model, "drawn", recipe_of(spec), trusted).bands("G_L1")
        widths.append(bands[0].high / bands[0].low)
    assert widths[1] > 1.3 * widths[0]
