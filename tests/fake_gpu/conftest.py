"""Commands on fake GPUs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import SMALL, Answer

from invoke import in_a_process
from on_fake_gpu import NoFakeGpu, environment

REQUIRED = "GBENCH_FAKE_GPU"  # =required: no fake GPU is a failure


@pytest.fixture(scope="session")
def fake_gpu() -> dict[str, str]:
    """The variables of a process on fake GPUs; skips the test where there can be none."""
    try:
        return environment()
    except NoFakeGpu as reason:
        if os.environ.get(REQUIRED) == "required":
            raise
        pytest.skip(str(reason))


@pytest.fixture
def on_gpu(fake_gpu: dict[str, str], facades: Path, tmp_path: Path) -> Callable[..., Answer]:
    """Runs `gbench VERB ARGUMENTS` on fake GPUs.

    settings: "data.workers=2,...". bare: without the settings of a small run. Others: FAKE_GPU_ variables.
    """

    def run(verb: str, *arguments: object, settings: str = "", bare: bool = False, **variables: object) -> Answer:
        (tmp_path / "fake").mkdir(exist_ok=True)
        values = {
            **SMALL,
            "measure.idle_seconds": 0,
            **dict(one.split("=") for one in filter(None, settings.split(","))),
        }
        sizes = [text for key, value in values.items() for text in ("--set", f"{key}={value}")]
        where = ["--device", "cuda", "--runner", "local", "--cache-dir", tmp_path / "cache"]
        where += ["--datasets-dir", facades, "--dataset", "synthetic"]
        fake = {f"FAKE_GPU_{name.upper()}": str(value) for name, value in variables.items()}
        command = (verb, *arguments) if bare else (verb, *arguments, *where, *sizes)
        return in_a_process(command, tmp_path, {**fake_gpu, "FAKE_GPU_DIR": str(tmp_path / "fake"), **fake}, 1000)

    return run
