"""The verdict's error rates on simulated runs: a fast version of benchmarks/convergence.py."""

from __future__ import annotations

from collections import Counter

import pytest

from gbench.convergence.contrasts import CONTRASTS
from gbench.convergence.curves import LOSSES
from gbench.convergence.seed_spread import LAST_EPOCH, QUALITY, WINDOW
from simulated_runs import PRINTED, Case, build, spreads

DRAWS = 40


def shares(variant: str, case: Case) -> dict[str, float]:
    found = Counter(verdict.verdict for verdict in build(spread=case.spread).verdicts(variant, DRAWS, case))
    return {word: count / DRAWS for word, count in found.items()}


@pytest.mark.parametrize("case", [Case(), Case(seeds=5), Case(lines=PRINTED), Case(own=5)], ids=str)
def test_true_reproductions_pass(case: Case) -> None:
    assert shares("reference", case)["reproduced"] >= 0.9  # 95 % and more in the long run: docs/convergence.md


@pytest.mark.parametrize("variant", ["lambda_L1_50", "D_not_trained"])
@pytest.mark.parametrize("case", [Case(), Case(lines=PRINTED)], ids=str)
def test_a_wrong_lambda_and_a_dead_discriminator_are_found(variant: str, case: Case) -> None:
    assert shares(variant, case)["not reproduced"] >= 0.95


def test_a_doubled_learning_rate_is_found_by_sets_of_own_runs() -> None:
    single, sets = (shares("lr_doubled", case)["not reproduced"] for case in (Case(own=5), Case(own=5, seeds=5)))
    assert sets >= 0.9 and sets > single


def test_the_spreads_assumed_are_the_ones_measured() -> None:
    measured = spreads(build())
    assumed = {f"{name}, a window": WINDOW[name] for name in LOSSES}
    assumed |= {contrast.name: contrast.between for contrast in CONTRASTS} | QUALITY
    assert assumed == pytest.approx(measured, rel=0.06)
    assert LAST_EPOCH == WINDOW
