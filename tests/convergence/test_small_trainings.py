"""The verdict on real small trainings, seeds of one recipe and wrong ones: benchmarks/convergence_seeds.py in small."""

from __future__ import annotations

import pytest

from gbench.convergence.batch_sizes import ReferenceBetween, for_batch_size
from gbench.convergence.judge import judge
from gbench.errors import UsageError
from small_trainings import RECIPE, rates, read_runs, reference_of

RUNS = read_runs()
DRAWS = 8


def test_seeds_of_the_recipe_are_not_called_different() -> None:
    assert rates(RUNS, RECIPE, trusted=5, judged=10, draws=DRAWS)[0] == 0
    against, open_ones = rates(RUNS, RECIPE, trusted=1, judged=1, draws=4 * DRAWS)
    assert against == 0 and 0.05 < open_ones < 0.5  # all just outside, and once called different


@pytest.mark.parametrize("name", ["lambda_L1 80", "lambda_L1 120", "D's lr halved", "dropout off", "wrong direction"])
def test_wrong_recipes_are_found(name: str) -> None:
    judged = len(RUNS[name])
    assert rates(RUNS, name, trusted=5, judged=judged, draws=3)[0] == 1
    assert sum(rates(RUNS, name, trusted=5, judged=1, draws=DRAWS)) > 0.5  # at least: run another seed


def test_a_batch_size_between_two_that_were_trained() -> None:
    """Losses at batch size 2 lie between those at 1 and 4, as far as seeds show."""
    assert rates(RUNS, "batch 2", trusted=5, judged=5, draws=DRAWS) == (0, 0)
    assert rates(RUNS, "batch 2, lambda_L1 80", trusted=5, judged=2, draws=3)[0] == 1
    at_1 = reference_of(RUNS[RECIPE][:5])
    assert judge(at_1, RUNS["batch 4"][:5]).verdict == "not reproduced"  # so the sizes do differ


def test_a_batch_size_is_judged_between_two_references() -> None:
    """Each reference is what its runs are; the wrong lambda stands for a batch size at which losses are different."""
    low, high = reference_of(RUNS[RECIPE][:5]), reference_of(RUNS["lambda_L1 120"])
    high = high.model_copy(update={"recipe": {**high.recipe, "batch_size": 16}})
    between = for_batch_size([high, low], 4)
    assert isinstance(between, ReferenceBetween) and between.recipe["batch_size"] == 4
    means = [one.window("G_L1", 10).mean for one in (low, between, high)]
    assert means[1] == pytest.approx((means[0] + means[2]) / 2) and means[0] < means[2]
    assert between.window("G_L1", 10).share == pytest.approx((1 / 5 + 1 / len(RUNS["lambda_L1 120"])) / 4)
    runs = RUNS[RECIPE][5:10]
    assert judge(between, runs).verdict == "not reproduced"
    assert judge(for_batch_size([high, low], 1), runs).verdict == "reproduced"
    assert for_batch_size([high, low], 1) is low and for_batch_size([high, low], 64) is high
    for references, size, said in (
        ([low, high], None, "batch size of the run is not known"),
        ([low, low], 1, "two references have the same batch size"),
        ([low, high.model_copy(update={"recipe": {**high.recipe, "optim.lr": 1.0}})], 4, "differ in optim.lr"),
    ):
        with pytest.raises(UsageError, match=said):
            for_batch_size(references, size)
