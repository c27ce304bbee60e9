"""The published V100 run, compared with the reference made from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import Answer

from convergence_runs import published_lines
from evaluations import evaluation_of
from gbench.convergence.curves import LOSSES
from gbench.convergence.make_reference import windows_of
from gbench.convergence.subjects import find_reference
from gbench.convergence.training_log import of_lines

CSV = "reference/v100_facades_resnet9_losses.csv"
Gbench = Callable[..., Answer]
Shared = Callable[[str], Path]


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """evaluation.json with the published quality on 50 images, and others after them that do not count."""
    images = {f"{n:03}": (0.3554, 12.875, 0.5) if n < 50 else (1.0, 1.0, 0.5) for n in range(60)}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({"version": 1, **evaluation_of(images).model_dump()}))
    return path


def log(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "loss_log.txt"
    path.write_text("================ Training Loss ================\n" + "\n".join(lines) + "\n")
    return path


def test_the_reference_holds_the_published_figures() -> None:
    reference = find_reference((), "pix2pix_resnet_9blocks", 1)
    run = reference.runs[0]
    assert {name: run.losses[name].last_epoch for name in LOSSES} == pytest.approx(
        {"G_GAN": 2.49475, "G_L1": 18.4075, "D_real": 0.16925, "D_fake": 0.20175}, rel=1e-4
    )
    assert [run.losses[name].mean[9] for name in LOSSES] == pytest.approx([2.526, 26.016, 0.303, 0.327], abs=6e-4)
    assert run.lines == 800 and reference.windows == windows_of(200)
    assert run.quality == {"MAE": 0.3554, "PSNR": 12.875} and reference.quality_images == 50
    assert reference.recipe["optim.lr"] == 2e-4 and reference.recipe["optim.lambda_L1"] == 100


def test_the_reference_is_the_one_that_its_log_makes(shared: Shared) -> None:
    curves = of_lines(published_lines(shared(CSV)), "log").curves
    reference = find_reference((), "pix2pix_resnet_9blocks", 1)
    for name in LOSSES:
        windows = [curves.window(name, *window) for window in reference.windows]
        assert [window and window.mean for window in windows] == pytest.approx(
            reference.runs[0].losses[name].mean, rel=1e-4
        )
        assert [window and window.sd for window in windows] == pytest.approx(
            reference.runs[0].losses[name].sd, rel=1e-4
        )


def test_the_published_run_reproduces_itself(gbench: Gbench, shared: Shared, tmp_path: Path, evaluation: Path) -> None:
    path = log(tmp_path, published_lines(shared(CSV)))
    answer = gbench("converge", "--check", path, "--evaluation", evaluation)
    assert (answer.code, answer.out.splitlines()[0]) == (0, "verdict       reproduced"), answer.err


def test_an_evaluation_in_another_mode_is_refused(
    gbench: Gbench, shared: Shared, tmp_path: Path, evaluation: Path
) -> None:
    evaluation.write_text(json.dumps({**json.loads(evaluation.read_text()), "statistics": "running"}))
    answer = gbench("converge", "--check", log(tmp_path, published_lines(shared(CSV))), "--evaluation", evaluation)
    assert answer.code == 2
    assert f"{evaluation} was made with dropout off and running statistics" in answer.err


def test_a_log_without_an_evaluation_is_inconclusive(gbench: Gbench, shared: Shared, tmp_path: Path) -> None:
    path = log(tmp_path, published_lines(shared(CSV)))
    answer = gbench("converge", "--check", path, "--json")
    assert (answer.code, answer.json["verdict"]) == (3, "inconclusive")
    assert answer.json["reasons"] == [f"{path}: image quality (MAE, PSNR) was not evaluated"]
    assert gbench("converge", "--check", path, "--allow", "quality").code == 0


def test_a_larger_G_L1_is_named_with_its_size_and_first_epoch(
    gbench: Gbench, shared: Shared, tmp_path: Path, evaluation: Path
) -> None:
    path = log(tmp_path, published_lines(shared(CSV), {"G_L1": 1.3}))
    answer = gbench("converge", "--check", path, "--evaluation", evaluation, "--json")
    assert (answer.code, answer.json["verdict"]) == (1, "not reproduced")
    (departure,) = answer.json["departures"]
    assert (departure["loss"], departure["first_epoch"], departure["last_epoch"]) == ("G_L1", 1, 200)
    assert departure["share"] == pytest.approx(0.3, abs=1e-3)
    assert answer.json["reasons"][0].startswith("G_L1 leaves its band from epoch 1 on: 30.0% above the reference")


def test_a_loss_that_goes_wrong_half_way_leaves_its_band_there(shared: Shared, tmp_path: Path, gbench: Gbench) -> None:
    lines = published_lines(shared(CSV))
    wrong = published_lines(shared(CSV), {"G_L1": 1.3})
    path = log(tmp_path, lines[:400] + wrong[400:])
    answer = gbench("converge", "--check", path, "--json")
    assert answer.code == 1
    assert [(one["loss"], one["first_epoch"]) for one in answer.json["departures"]] == [("G_L1", 101)]


def test_half_a_log_is_inconclusive_unless_it_is_already_wrong(gbench: Gbench, shared: Shared, tmp_path: Path) -> None:
    answer = gbench("converge", "--check", log(tmp_path, published_lines(shared(CSV))[:400]), "--allow", "quality")
    assert answer.code == 3 and "no losses of 100 of 200 epochs, the first of them epoch 101" in answer.out
    wrong = published_lines(shared(CSV), {"G_L1": 0.6})[:400]
    assert gbench("converge", "--check", log(tmp_path, wrong), "--allow", "quality").code == 1


def test_bands_hold_the_published_means() -> None:
    reference = find_reference((), "pix2pix_resnet_9blocks", 1)
    for name in LOSSES:
        bands = reference.bands(name)
        assert [(band.first_epoch, band.last_epoch) for band in bands] == reference.windows
        assert np.all([b.low < m < b.high for b, m in zip(bands, reference.runs[0].losses[name].mean, strict=True)])
