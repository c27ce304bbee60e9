"""A convergence run of small size on real facades (40 to train on, 10 to test), from the first step to the gallery:
what G makes must be nearer to the photos than what it made before it was trained, by a margin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import Answer

from gbench.datasets.synth import synth
from gbench.pix2pix.step.build_model import build_networks
from gbench.runfolder.folder import RunFolder
from gbench.settings.request import Request
from gbench.settings.resolve import resolve

pytestmark = pytest.mark.system

Gbench = Callable[..., Answer]
MODEL = "pix2pix_resnet_9blocks"
NETWORK = ("network.ngf=16", "network.ndf=16", "data.crop_size=64", "data.workers=0")
TRAINING = (  # an evaluation takes no margin to crop from
    "data.load_size=72",
    "schedule.epochs=10",
    "schedule.epochs_decay=10",
    "measure.peak_seconds=0",
    "measure.idle_seconds=0",
)
MARGIN = 0.8  # of the untrained generator's mean absolute error; some 0.5 is what such a run reaches
SHARED = Path(__file__).resolve().parents[3] / "shared" / "facades50" / "test"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 pairs, the last 10 of them to test on: real ones where they are at hand, else drawn ones."""
    root = tmp_path_factory.mktemp("pairs") / "facades50"
    if not SHARED.is_dir():
        print(f"no real facades at {SHARED}: drawn ones take their place")
        synth(root, {"train": 40, "test": 10}, size=256, seed=1)
        return root
    for number, path in enumerate(sorted(SHARED.glob("*.png"))):
        phase = root / ("train" if number < 40 else "test")
        phase.mkdir(parents=True, exist_ok=True)
        (phase / path.name).symlink_to(path)
    return root


def mae(answer: Answer) -> float:
    assert answer.code == 0, answer.err
    metrics = answer.json["evaluation"]["metrics"]
    return float(metrics["MAE"]["mean"])


def test_losses_fall_and_facades_emerge(gbench: Gbench, pairs: Path, tmp_path: Path) -> None:
    where = ["--device", "cpu", "--runner", "local", "--datasets-dir", pairs, "--dataset", "facades50"]
    network, training = ([part for value in values for part in ("--set", value)] for values in (NETWORK, TRAINING))
    request = Request(model=MODEL, batch_size=1, device_count=1, precision="FP32", device="cpu", runner="local")
    spec = resolve(request, {}).spec
    small = spec.config.network.model_copy(update={"ngf": 16, "ndf": 16})
    generator, _ = build_networks(spec.model_copy(update={"config": spec.config.model_copy(update={"network": small})}))
    torch.save(generator.state_dict(), tmp_path / "untrained_net_G.pth")
    before = mae(gbench("eval", tmp_path / "untrained_net_G.pth", "--model", MODEL, *where, *network, "--json"))

    answer = gbench("converge", MODEL, 1, 1, "FP32", *where, *network, *training, "--json", timeout_s=900)
    after = mae(answer)
    assert after < MARGIN * before, f"MAE {before:.4f} untrained, {after:.4f} trained"

    folder = RunFolder(Path(answer.json["paths"]["run"]))
    steps = folder.steps(0)
    assert len(steps) == 20 * 40
    first, last = ([step.losses["G_L1"] for step in part] for part in (steps[:80], steps[-80:]))
    assert sum(last) < 0.9 * sum(first)
    metric_data = answer.json["record"]["metric_data"]
    assert {"G_GAN", "G_L1", "D_real", "D_fake", "MAE", "PSNR", "SSIM"} <= metric_data.keys()
    final = folder.path / "evaluations" / "final"
    assert len(json.loads((final / "evaluation.json").read_text())["images"]) == 10
    assert (final / "gallery.html").is_file() and (folder.path / "losses.svg").is_file()
    assert Image.open(folder.image(20, "fake_B")).size == (64, 64)
