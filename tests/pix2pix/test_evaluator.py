"""One rank's evaluation in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gbench.errors import GbenchError, InfrastructureError, RunFailed
from gbench.pix2pix.evaluator import Evaluator, output_names
from gbench.pix2pix.image_metrics import to_levels
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.step.build_model import build_networks
from gbench.runfolder.evaluation_result import Evaluation, read_evaluation
from gbench.runfolder.folder import RunFolder
from gbench.settings.evaluation_spec import EvaluationRequest, of_run
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]
Evaluate = Callable[..., Evaluation]


@pytest.fixture
def generator(make_spec: MakeSpec) -> torch.nn.Module:
    """Drawn, not trained, and with running statistics of its own."""
    network = build_networks(make_spec(seed=7))[0]
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 32, 32))
    return network


@pytest.fixture
def evaluate(make_spec: MakeSpec, facades: Path, ranks: Ranks, generator: torch.nn.Module, tmp_path: Path) -> Evaluate:
    """Evaluate a state (default: the generator's) into a new folder; keywords go to the request."""
    number = iter(range(100))

    def run(state: Any = None, data_dir: Path = facades, **changes: Any) -> Evaluation:
        base = tmp_path / f"evaluation-{next(number)}"
        checkpoint = base.with_suffix(".pth")
        torch.save(generator.state_dict() if state is None else state, checkpoint)
        spec = of_run(make_spec(), EvaluationRequest(checkpoint, out=base, **changes), {}).spec
        folder = RunFolder.create(spec)
        Evaluator(spec, folder, data_dir, None, ranks).run()
        found = read_evaluation(folder)
        assert found is not None
        return found

    return run


def figures(found: Evaluation) -> list[dict[str, float | None]]:
    return [image.metrics for image in found.images]


def folder_of(found: Evaluation) -> Path:
    return Path(found.checkpoint.path).with_suffix("")


def test_images_have_upstreams_names_and_rounding(evaluate: Evaluate, facades: Path) -> None:
    found = evaluate()
    images = folder_of(found) / "images"
    assert [image.name for image in found.images] == ["1", "2", "3", "4"]
    kinds = ("real_A", "fake_B", "real_B")
    assert {path.name for path in images.iterdir()} == {f"{n}_{kind}.png" for n in (1, 2, 3, 4) for kind in kinds}
    with Image.open(facades / "test" / "2.png") as file:
        pair = file.convert("RGB")
    half = pair.crop((0, 0, 40, 40)).resize((32, 32), Image.Resampling.BICUBIC)  # real_B of BtoA: the left half
    scaled = torch.from_numpy(np.array(half)).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
    with Image.open(images / "2_real_B.png") as written:
        assert np.array_equal(np.array(written), to_levels(scaled))


def test_the_figures_are_those_of_the_written_images(evaluate: Evaluate) -> None:
    found = evaluate()
    for image in found.images:
        fake, real = (
            np.array(Image.open(folder_of(found) / "images" / f"{image.name}_{kind}.png")).astype(float)
            for kind in ("fake_B", "real_B")
        )
        assert image.metrics["PSNR"] == pytest.approx(10 * np.log10(255**2 / ((fake - real) ** 2).mean()))
        assert image.metrics["MAE"] == pytest.approx(np.abs(fake - real).mean() / 127.5, abs=1 / 127.5)
    for name, spread in found.metrics.items():
        values = [image.metrics[name] for image in found.images]
        assert spread.mean == pytest.approx(np.mean(values)) and spread.sd == pytest.approx(np.std(values, ddof=1))


def test_by_default_it_is_upstreams_test_and_seeded(evaluate: Evaluate, generator: torch.nn.Module) -> None:
    """Dropout on, statistics of the one image: what a generator in training mode makes of it alone."""
    found = evaluate(options={"seed": 5})
    assert (found.dropout, found.statistics, found.seed) == (True, "batch", 5)
    assert found.mode == "as upstream's test.py: dropout on, batch statistics; seed 5"
    assert figures(evaluate(options={"seed": 5})) == figures(found)
    assert figures(evaluate(options={"seed": 6})) != figures(found)
    assert figures(evaluate(options={"seed": 5}, limit=2)) == figures(found)[:2]

    shifted = {key: value + 1 if "running_mean" in key else value for key, value in generator.state_dict().items()}
    assert figures(evaluate(shifted, options={"seed": 5})) == figures(found)  # running statistics play no part


def test_eval_mode_has_neither_dropout_nor_batch_statistics(evaluate: Evaluate, generator: torch.nn.Module) -> None:
    found = evaluate(eval_mode=True)
    assert (found.dropout, found.statistics, found.mode) == (False, "running", "dropout off, running statistics")
    assert figures(evaluate(eval_mode=True, options={"seed": 9})) == figures(found)
    for one, other in zip(figures(evaluate(eval_mode=True, batch=3)), figures(found), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    shifted = {key: value + 1 if "running_mean" in key else value for key, value in generator.state_dict().items()}
    assert figures(evaluate(shifted, eval_mode=True)) != figures(found)


def test_an_upstream_state_dict_gives_the_same_figures(evaluate: Evaluate, generator: torch.nn.Module) -> None:
    state = generator.state_dict()
    expected = figures(evaluate(state))
    old = {f"module.{key}": value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert figures(evaluate(old)) == expected
    assert figures(evaluate({"model": {"generator": state}, "epoch": 12})) == expected
    assert evaluate({"model": {"generator": state}, "epoch": 12}, limit=1).checkpoint.epoch == 12


def test_a_generator_that_diverged_has_no_figures(evaluate: Evaluate, generator: torch.nn.Module) -> None:
    state = {
        key: value * float("nan") if key == "model.1.weight" else value for key, value in generator.state_dict().items()
    }
    with pytest.raises(RunFailed, match=r"gives NaN for .*1\.png; .*diverged"):
        evaluate(state)


def test_a_broken_pair_is_named(evaluate: Evaluate, facades: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(facades, broken)
    (broken / "test" / "3.png").write_bytes(b"no image")
    with pytest.raises(GbenchError, match=r"3\.png can't be decoded"):
        evaluate(data_dir=broken)


def test_two_pairs_of_one_name_are_not_written_over_each_other() -> None:
    assert output_names([Path("test/1.png"), Path("test/2.jpg")]) == ["1", "2"]
    with pytest.raises(InfrastructureError, match=r"a/1.png and .*b/1.jpg would be written under one name"):
        output_names([Path("test/a/1.png"), Path("test/b/1.jpg")])
