"""A run's recipe, and the learning rates that its optimisers had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gbench.convergence.recipe import (
    RecipeDifference,
    differences,
    one_recipe,
    rate_otherwise,
    recipe_of,
    require_fields,
)
from gbench.errors import UsageError
from gbench.pix2pix.step.schedule import build_scheduler, start_epoch
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


def recipe(make_spec: MakeSpec, *settings: str, **changes: object) -> dict[str, object]:
    return recipe_of(make_spec(recipe="convergence", steps=None, settings=settings, **changes))


@pytest.mark.parametrize(
    ("setting", "field"),
    [
        ("optim.lr=4e-4", "optim.lr"),
        ("optim.lambda_L1=50", "optim.lambda_L1"),
        ("optim.gan_mode=lsgan", "optim.gan_mode"),
        ("network.netG=resnet_6blocks", "network.netG"),
        ("data.direction=AtoB", "data.direction"),
        ("schedule.epochs=10", "schedule.epochs"),
    ],
)
def test_what_decides_the_curves_is_compared(make_spec: MakeSpec, setting: str, field: str) -> None:
    assert [one.field for one in differences(recipe(make_spec, setting), recipe(make_spec))] == [field]


def test_what_does_not_is_left_out(make_spec: MakeSpec) -> None:
    other = recipe(make_spec, "data.workers=2", "schedule.print_every=7", seed=5, precision="BF16")
    assert differences(other, recipe(make_spec)) == []
    assert [one.field for one in differences(recipe(make_spec, batch_size=8), recipe(make_spec))] == ["batch_size"]


def test_a_field_unknown_to_a_reference_has_its_default(make_spec: MakeSpec) -> None:
    known = recipe(make_spec)
    older = {key: value for key, value in known.items() if key != "optim.beta1"}
    assert differences(known, older) == []
    assert differences(recipe(make_spec, "optim.beta1=0.9"), older) == [RecipeDifference("optim.beta1", 0.9, 0.5)]


def rates(lr: float, epochs: int, decay: int) -> list[list[float]]:
    """The learning rates of the project's scheduler by epoch."""
    import torch

    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = build_scheduler(optimizer, "linear", epochs, decay, 50)
    found = []
    for _ in range(epochs + decay):
        start_epoch(scheduler)
        found.append([optimizer.param_groups[0]["lr"]] * 2)
    return found


def test_learning_rates_that_ran_are_held_against_the_recipe(make_spec: MakeSpec) -> None:
    known = recipe(make_spec)
    ran = rates(2e-4, 100, 100)
    assert rate_otherwise(known, ran) is None and rate_otherwise(known, None) is None
    doubled = rate_otherwise(known, rates(4e-4, 100, 100))
    assert doubled == RecipeDifference("the learning rate of G's optimiser in epoch 1", 4e-4, 2e-4, "its recipe means")
    late = rate_otherwise(known, rates(2e-4, 150, 50))
    assert late is not None and late.field.endswith("of G's optimiser in epoch 100")
    ran[30][1] = 0.0
    assert rate_otherwise(known, ran) == RecipeDifference(
        "the learning rate of D's optimiser in epoch 31", 0.0, 2e-4, "its recipe means"
    )


def test_a_field_that_no_recipe_has_is_named_with_the_nearest(make_spec: MakeSpec) -> None:
    with pytest.raises(UsageError, match=r"no field 'optim.lrr'; did you mean optim.lr\?"):
        require_fields(["optim.lrr"], recipe(make_spec))


def test_runs_of_two_recipes_make_no_reference(make_spec: MakeSpec) -> None:
    found = [("m", recipe(make_spec)), ("m", recipe(make_spec, "optim.lr=4e-4"))]
    with pytest.raises(UsageError, match=r"different recipes: optim.lr is 0.0004 and 0.0002"):
        one_recipe(found)
    with pytest.raises(UsageError, match="a log does not contain its recipe"):
        one_recipe([])
