"""Logs that gbench did not write: stated options, several starts in one file, and a folder of images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Answer

from convergence_runs import SETTINGS, convergence_run
from gbench.convergence.curves import LOSSES
from gbench.convergence.training_log import of_lines
from gbench.runfolder.loss_line import loss_line
from gbench.settings.spec import RunSpec

Gbench = Callable[..., Answer]
HEADER = "================ Training Loss (Sun Nov 29 10:00:00 2026) ================"


def lines(first: int, last: int, value: float, printed: int = 4) -> list[str]:
    """The lines of epochs, all losses equal to `value`."""
    return [
        loss_line(epoch, 100 * n, 0.04, 0.2, dict.fromkeys(LOSSES, value))
        for epoch in range(first, last + 1)
        for n in range(1, printed + 1)
    ]


def options(**values: object) -> list[str]:
    """The options as upstream's `print_options` formats them."""
    given = [f"{name:>25}: {value!s:<30}\t[default: 0]" for name, value in values.items()]
    return ["----------------- Options ---------------", *given, "----------------- End -------------------"]


@pytest.mark.parametrize(
    ("log", "counts", "means", "replaced"),
    [
        ([HEADER, *lines(1, 3, 1)], [4, 4, 4], [1, 1, 1], 0),
        ([HEADER, *lines(1, 3, 1), HEADER, *lines(1, 3, 2)], [4, 4, 4], [2, 2, 2], 1),
        ([*lines(1, 3, 1), *lines(1, 2, 2)], [4, 4], [2, 2], 1),
        ([HEADER, *lines(1, 1, 1), HEADER, *lines(1, 2, 2)], [4, 4], [2, 2], 1),
        ([HEADER, *lines(1, 2, 1), *lines(3, 3, 1, 2), HEADER, *lines(3, 4, 2)], [4, 4, 4, 4], [1, 1, 2, 2], 0),
        ([HEADER, *lines(1, 2, 1), *lines(3, 3, 1, 2), *lines(3, 4, 2)], [4, 4, 4, 4], [1, 1, 2, 2], 0),
        ([*options(lr=0.1), HEADER, *lines(1, 1, 1), *options(lr=0.1), HEADER, *lines(2, 2, 2)], [4, 4], [1, 2], 0),
    ],
)
def test_a_later_start_replaces_the_epochs_it_repeats(
    log: list[str], counts: list[int], means: list[float], replaced: int
) -> None:
    found = of_lines(log, "log")
    epochs = found.curves.epochs
    assert np.bincount(epochs)[1:].tolist() == counts
    assert [found.curves.losses["G_L1"][epochs == epoch].mean() for epoch in range(1, len(means) + 1)] == means
    assert found.replaced == replaced


def test_options_are_read_and_those_of_a_replaced_start_dropped() -> None:
    stated = {"lr": 0.0004, "lambda_L1": 50.0, "netG": "unet_256", "batch_size": 4, "no_flip": True, "gpu_ids": 0}
    found = of_lines([*options(**stated), HEADER, *lines(1, 2, 1)], "log").stated
    assert found == {
        "optim.lr": 0.0004,
        "optim.lambda_L1": 50.0,
        "network.netG": "unet_256",
        "batch_size": 4,
        "data.flip": False,
    }
    again = [*options(lr=0.1), *lines(1, 2, 1), *options(lr=0.2), *lines(1, 2, 1)]
    assert of_lines(again, "log").stated == {"optim.lr": 0.2}
    changed = [*options(lr=0.1), *lines(1, 2, 1), *options(lr=0.2), *lines(2, 3, 1)]
    assert of_lines(changed, "log").stated == {"optim.lr": "0.1, then 0.2"}


@pytest.fixture
def log_of(make_spec: Callable[..., RunSpec], gbench: Gbench, tmp_path: Path) -> Path:
    """The console log of a run that the reference own.yaml, of the same recipe, holds for reproduced."""
    spec = make_spec(recipe="convergence", steps=None, batch_size=1, settings=SETTINGS)
    runs = [convergence_run(spec, seed=seed) for seed in (1, 2, 3)]
    made = gbench("converge", "--add-reference", runs[0].path, "--add-reference", runs[1].path, "--out", "own.yaml")
    assert made.code == 0, made.err
    text = [loss_line(step.epoch, step.step, 0.04, 0.2, step.losses) for step in runs[2].steps(0)]
    (tmp_path / "lines.log").write_text("\n".join(text))
    return tmp_path / "lines.log"


def test_a_log_that_states_another_recipe_is_not_reproduced(gbench: Gbench, log_of: Path, tmp_path: Path) -> None:
    check = ("--reference", "own.yaml", "--allow", "quality")
    plain = gbench("converge", "--check", log_of, *check)
    assert plain.code == 0 and "not known: a log does not tell it" in plain.out
    for name, values, code, said in (
        ("same.log", {"lr": 0.0002, "n_epochs": 20}, 0, "the reference's, as far as the log states it"),
        ("other.log", {"lr": 0.0004}, 1, "recipe: optim.lr is 0.0004, the reference has 0.0002"),
    ):
        (tmp_path / name).write_text("\n".join(options(**values)) + "\n" + log_of.read_text())
        answer = gbench("converge", "--check", name, *check)
        assert (answer.code, said in answer.out) == (code, True), answer.out


def test_images_are_judged_from_files_alone(gbench: Gbench, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, level in (("1", 100), ("10", 110)):
        Image.new("RGB", (16, 16), (level,) * 3).save(images / f"{name}_fake_B.png")
        Image.new("RGB", (16, 16), (90,) * 3).save(images / f"{name}_real_B.png")
    answer = gbench("eval", tmp_path, "--json")
    assert answer.code == 0, answer.err
    assert [one["name"] for one in answer.json["images"]] == ["1", "10"]
    assert answer.json["images"][0]["metrics"]["MAE"] == pytest.approx(10 / 127.5)
    assert answer.json["images"][0]["metrics"]["PSNR"] == pytest.approx(20 * np.log10(255 / 10))
    assert "MAE           0.07843; " in gbench("eval", images, "--limit", 1).out
    assert gbench("eval", images, "--best").code == 2
    (images / "10_real_B.png").unlink()
    missing = gbench("eval", images)
    assert missing.code == 2 and "10_real_B.png is not there" in missing.err


def test_a_log_with_images_gets_a_whole_verdict(gbench: Gbench, log_of: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name in ("fake_B", "real_B"):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(images / f"1_{name}.png")
    run = ("--images", images)
    made = gbench("converge", "--add-reference", log_of, *run, "--out", "q.yaml", *MODEL_WITH_RECIPE)
    assert made.code == 0, made.err
    assert gbench("converge", "--check", log_of, "--reference", "q.yaml").code == 3
    answer = gbench("converge", "--check", log_of, *run, "--reference", "q.yaml", "--json")
    assert (answer.code, answer.json["verdict"]) == (0, "reproduced"), answer.out
    (tmp_path / "e.json").write_text("{}")
    both = gbench("converge", "--check", log_of, *run, "--evaluation", "e.json", "--reference", "q.yaml")
    assert both.code == 2 and "--evaluation and --images both give" in both.err


MODEL_WITH_RECIPE = (
    *("pix2pix_resnet_9blocks", 1, 1, "FP32", "--set", SETTINGS[0], "--set", SETTINGS[1]),
    *("--device", "cpu", "--runner", "local"),
)
