"""`gbench tune` as a user runs it: real processes, few and small feature maps; torch.compile finds no C++ compiler."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from support import Answer

from gbench.runfolder.folder import RunFolder
from gbench.runfolder.tuning_result import read_tuning

MODEL = ("pix2pix_resnet_6blocks", 4, 1, "FP32")


def test_a_tuning_is_a_table_and_a_file_for_optimized_runs(
    gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path
) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    without_compiler = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    answer = gbench("tune", *MODEL, *small_launch, *cache, "--max-time", "2s", **without_compiler)
    assert answer.code == 0, answer.err
    (path,) = (tmp_path / "results").iterdir()
    found = read_tuning(RunFolder(path))
    assert found is not None
    assert [one.change for one in found.trials] == [
        {"channels_last": True},
        {"adam": "fused"},
        {"adam": "foreach"},
        {"compile": "blocks"},
        {"compile": "networks"},
    ]
    for compiled in found.trials[-2:]:
        assert compiled.ratio is None and compiled.why.startswith("failed: speed.compile: torch.compile failed (")
    lines = answer.out.splitlines()
    assert "times as fast" in lines[1] and "95 % interval" in lines[1]
    assert lines[2].startswith("channels_last=true") and lines[6].startswith("compile=networks")
    assert f"run           {path}" in lines
    (remembered,) = (tmp_path / "cache" / "tuned").iterdir()
    assert f"remembered    {remembered}" in lines
    assert json.loads(remembered.read_text())["speed"] == found.speed.model_dump()
    plan = gbench("launch", *MODEL, *small_launch, *cache, "--profile", "optimized", "--dry-run", "--json")
    assert plan.json["spec"]["config"]["speed"] == found.speed.model_dump()
    assert plan.json["spec"]["tuned_by"]["run_id"] == path.name


def test_a_launch_that_cant_compile_says_so_in_one_sentence(
    gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path
) -> None:
    without_compiler = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    answer = gbench("launch", *MODEL, *small_launch, "--set", "speed.compile=blocks", "-q", **without_compiler)
    assert answer.code == 1
    assert answer.err.startswith("gbench: error: speed.compile: torch.compile failed (")
    assert answer.err.count("\n") == 1
