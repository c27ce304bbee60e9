"""evaluation.json: read as written, or one error sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluations import evaluation_of
from gbench.errors import InfrastructureError
from gbench.runfolder.evaluation_result import NAME, read_evaluation, spread
from gbench.runfolder.folder import RunFolder


def test_it_goes_round(tmp_path: Path) -> None:
    written = evaluation_of({"1": (0.25, None, 0.5), "10": (0.5, 12.5, 0.25)})
    folder = RunFolder(tmp_path)
    assert read_evaluation(folder) is None
    folder.write(NAME, written.model_dump())
    assert read_evaluation(folder) == written
    assert json.loads((tmp_path / NAME).read_text())["images"][0]["metrics"]["PSNR"] is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda values: values.pop("images"), "images: field required"),
        (lambda values: values.update(images=[]), "images: list should have at least 1 item"),
        (lambda values: values["images"][0].update(extra=1), "extra inputs are not permitted"),
        (lambda values: values.update(version=99), "not of version 1"),
    ],
    ids=["missing", "no image", "unknown", "version"],
)
def test_a_broken_one_is_one_sentence(
    tmp_path: Path, change: Callable[[dict[str, object]], object], sentence: str
) -> None:
    RunFolder(tmp_path).write(NAME, evaluation_of({"1": (0.25, 12.5, 0.5)}).model_dump())
    values = json.loads((tmp_path / NAME).read_text())
    change(values)
    (tmp_path / NAME).write_text(json.dumps(values))
    with pytest.raises(InfrastructureError, match=sentence):
        read_evaluation(RunFolder(tmp_path))


def test_mean_and_sample_deviation() -> None:
    assert spread([1.0, 2.0, 3.0]).model_dump() == {"mean": 2.0, "sd": 1.0}
    assert spread([1.0]).model_dump() == {"mean": 1.0, "sd": None}
    assert spread([1.0, None]).model_dump() == {"mean": None, "sd": None}
