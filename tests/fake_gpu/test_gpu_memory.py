"""What a run will need of a GPU's memory, against what torch's own allocator then takes of a fake one.

With -s it prints the table of docs/memory.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support import Answer

from gbench.pix2pix.step import rank_memory
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec

RESNET, UNET = "pix2pix_resnet_9blocks", "pix2pix_unet_256"
CONFIGURATIONS = (
    (RESNET, 32, "FP32", ""),
    (RESNET, 24, "FP32", ""),
    (RESNET, 4, "TF32", ""),
    (RESNET, 1, "FP32", ""),
    (RESNET, 32, "AMP", ""),
    (RESNET, 4, "BF16", ""),
    (RESNET, 32, "BF16", "speed.cuda_graph=true"),
    (RESNET, 16, "FP32", "speed.channels_last=true"),
    (RESNET, 8, "FP32", "network.norm=instance"),
    (RESNET, 32, "FP32", "data.crop_size=128"),
    (UNET, 32, "FP32", ""),
    (UNET, 1, "AMP", "speed.adam=fused"),
)
GIB = 1024**3
STEPS = ("--steps", 2, "--warmup", 1)
FULL = "data.load_size=286,data.crop_size=256,network.ngf=64,network.ndf=64"


def test_estimate_is_at_most_a_tenth_above(
    fake_gpu: dict[str, str], make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    specs = []
    for model, batch, precision, setting in CONFIGURATIONS:
        settings = [*FULL.split(","), *filter(None, [setting])]
        values = {"model": model, "batch_size": batch, "precision": precision, "settings": settings}
        specs.append(make_spec(**values, device="cuda", steps=6))
    paths = [tmp_path / f"{number}.json" for number in range(len(specs))]
    for path, spec in zip(paths, specs, strict=True):
        path.write_text(spec.model_dump_json())
    program = [sys.executable, Path(__file__).parents[1] / "helpers/take_gpu_memory.py", *paths]
    ran = subprocess.run(program, env={**os.environ, **fake_gpu}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    off = []
    for spec, line, (model, batch, precision, setting) in zip(
        specs, ran.stdout.splitlines(), CONFIGURATIONS, strict=True
    ):
        counted, taken = rank_memory.peaks(spec), [int(word) for word in line.split()]
        ratios = [mine / torchs for mine, torchs in zip(counted, taken, strict=True)]
        cells = [f"{mine / GIB:.2f} / {torchs / GIB:.2f}" for mine, torchs in zip(counted, taken, strict=True)]
        extra = " ".join(f"{ratio - 1:+.1%}" for ratio in ratios)
        print(f"| {model} | {batch} | {precision} | {setting or '-'} | {' | '.join(cells)} | {extra} |")
        off += [(model, batch, precision, setting, ratio) for ratio in ratios if not 1 <= ratio <= 1.1]
    assert off == []


def test_a_launch_that_does_not_fit_is_refused(on_gpu: Callable[..., Answer], tmp_path: Path) -> None:
    answer = on_gpu("launch", RESNET, 32, 1, "FP32", *STEPS, settings=FULL, gib=16)
    assert answer.code == 1
    assert "memory: a rank needs about 15.6 GiB for 32 images; GPU 0" in answer.err
    assert "GiB free: it does not fit, BATCH_SIZE 3" in answer.err  # 30, by 0.4 GiB an image
    assert not list(tmp_path.glob("results/*/environment.json"))


def test_a_launch_takes_what_was_counted(on_gpu: Callable[..., Answer], tmp_path: Path) -> None:
    answer = on_gpu("launch", RESNET, 8, 1, "FP32", "false", "ignore_check", *STEPS, settings=FULL)
    assert answer.code == 0, answer.err
    (run,) = (tmp_path / "results").iterdir()
    (memory,) = RunFolder(run).environment().memory
    counted, _ = rank_memory.peaks(RunFolder(run).spec())
    assert 1 <= counted / memory["allocated_bytes"] <= 1.1
