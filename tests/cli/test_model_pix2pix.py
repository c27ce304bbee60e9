"""MODEL `pix2pix`: the original's name of pix2pix_resnet_9blocks, at a launch and in a history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from drawn_records import drawn
from gbench.base.paths import project_file
from gbench.cndb.record_file import save
from gbench.settings.model_file import load_model, record_names
from gbench.settings.request import Request
from gbench.settings.resolve import resolve


def test_pix2pix_is_the_nine_block_model(tmp_path: Path) -> None:
    spec = resolve(Request("pix2pix", 4, 1, "FP32"), {}).spec
    assert (spec.model, spec.record_name) == ("pix2pix_resnet_9blocks", "pix2pix-resnet_9blocks")
    assert spec.config == resolve(Request("pix2pix_resnet_9blocks", 4, 1, "FP32"), {}).spec.config
    assert "-pix2pix_resnet_9blocks-" in spec.run_id


def test_a_file_of_that_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "pix2pix.yaml").write_text(project_file("configs/pix2pix_unet_128.yaml").read_text())
    assert load_model("pix2pix", tmp_path).network.netG == "unet_128"
    assert resolve(Request("pix2pix", 4, 1, "FP32", config_dir=str(tmp_path)), {}).spec.model == "pix2pix"


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("pix2pix", {"pix2pix", "pix2pix-resnet_9blocks"}),
        ("pix2pix_resnet_9blocks", {"pix2pix_resnet_9blocks", "pix2pix-resnet_9blocks"}),
        ("resnet50", {"resnet50"}),
    ],
)
def test_names_in_records(model: str, names: set[str]) -> None:
    assert record_names(model) == names


def test_a_history_joins_both_names_when_asked(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    for number, model in enumerate(("pix2pix", "pix2pix-resnet_9blocks", "pix2pix-unet_256")):
        save(drawn(model=model, extra={"run_id": f"run-{number}"}), tmp_path / f"{number}.yaml")
    assert gbench("cndb", "submit", *sorted(tmp_path.glob("*.yaml"))).code == 0

    def listed(model: str) -> set[str]:
        return {one["model"] for one in gbench("cndb", "list", "--model", model, "--json").json}

    assert listed("pix2pix") == {"pix2pix", "pix2pix-resnet_9blocks"}
    assert listed("pix2pix_resnet_9blocks") == {"pix2pix-resnet_9blocks"}
    assert gbench("report", "--history", "--model", "pix2pix", "--output", "history.html").code == 0
    page = (tmp_path / "history.html").read_text()
    assert "pix2pix-resnet_9blocks" in page
    assert "pix2pix-unet_256" not in page


def test_the_originals_records_are_one_history(gbench: Callable[..., Answer], shared: Callable[[str], Path]) -> None:
    files = [shared(f"cndb-legacy/{name}.yaml") for name in ("pix2pix_convergency", "pix2pix_v100_1")]
    assert gbench("cndb", "submit", *files).code == 0
    assert len(gbench("cndb", "list", "--model", "pix2pix", "--json").json) == 2
