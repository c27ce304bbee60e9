"""launch.sh as the original's users start it: its command lines with its exports, by any path, from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support import Answer, two_ranks

from gbench.base.paths import checkout_dir, project_file
from gbench.datasets.synth import synth

SCRIPT = project_file("scripts/launch.sh")
LINE = ("pix2pix_resnet_9blocks", "32", "8", "FP32", "false", "false")
COMMIT = "003efc4c8819de47ff11b5a0af7ba09aee7f5fc1"
EXPORTS = {  # of the original's documentation
    "CONT": "registry.example/gpu_golden_bench:pix2pix-21.06-pytorch-py3",
    "DATASETS": "facades",
    "DATASETS_DIR": "/data",
    "CNDB_DIR": "./cndb",
    "CODE_LINK": f"https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/blob/{COMMIT}/models/networks.py",
    "RUN_MODEL_FILE": "./PyTorch/pix2pix/pt-pix2pix.sh",
    "DOCKERFILE": "./PyTorch/pix2pix/Dockerfile",
    "CONFIG": "./PyTorch/pix2pix/configs",
}
SMALL_NETWORKS = ("--set", "network.ngf=4", "--set", "network.ndf=4", "--set", "data.crop_size=32")
PLAN = ("--dry-run", "--device", "cpu", *SMALL_NETWORKS)  # fits surely: to count its memory, torch would be loaded
CONVERGENCE = {"RUN_MODEL_FILE": "./PyTorch/pix2pix/pt-pix2pix-convergency.sh"}


def launch_sh(script: Path, arguments: tuple[str, ...], folder: Path, **variables: str) -> Answer:
    """Run launch.sh with arguments and variables in a folder, with this environment's gbench in PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(script), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("way", ["path", "root", "link", "copy"])
def test_launch_sh_starts_from_any_place(way: str, facades: Path, tmp_path: Path) -> None:
    script, elsewhere = SCRIPT, tmp_path / "bin"
    elsewhere.mkdir()
    if way == "root":
        if checkout_dir() is None:
            pytest.skip("only a checkout has a launch.sh at its root")
        script = SCRIPT.parents[1] / "launch.sh"
    elif way == "link":
        script = elsewhere / "bench"
        script.symlink_to(os.path.relpath(SCRIPT, elsewhere))
    elif way == "copy":
        script = Path(shutil.copy(SCRIPT, elsewhere / "launch.sh"))
    variables = {"DATASETS_DIR": str(facades), "CODE_LINK": "https://example.org/blob/0123abc/networks.py"}
    answer = launch_sh(script, (*LINE, *PLAN), tmp_path, CDPATH=f"{tmp_path}:/", **variables)
    assert answer.code == 0, answer.err
    assert f"{facades}  (variable DATASETS_DIR)" in answer.out
    assert "https://example.org/blob/0123abc/networks.py  (variable CODE_LINK)" in answer.out
    assert '"BATCH_SIZE": "32"' in answer.out


def test_a_copy_without_gbench_says_what_to_do(tmp_path: Path) -> None:
    copy = Path(shutil.copy(SCRIPT, tmp_path / "launch.sh"))
    answer = launch_sh(copy, LINE, tmp_path, PATH="/usr/bin:/bin")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.startswith("launch.sh: error: gbench is neither in /")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "exports", "steps"),
    [
        (("32", "1", "FP32", "false", "false"), {}, '"MODEL": "pix2pix_resnet_9blocks"'),
        (("32", "8", "FP32", "false", "false"), {}, '"DEVICE_COUNT": "8"'),
        (("1", "1", "FP32", "false", "ignore_check"), CONVERGENCE, "pt-pix2pix-convergency.sh"),
    ],
)
def test_the_documented_command_lines(
    arguments: tuple[str, ...], exports: dict[str, str], steps: str, tmp_path: Path
) -> None:
    answer = launch_sh(SCRIPT, (LINE[0], *arguments, *PLAN), tmp_path, **{**EXPORTS, **exports})
    assert answer.code == 0, answer.err
    assert steps in answer.out
    assert f"(variable DOCKERFILE: launch.sh's {EXPORTS['DOCKERFILE']}, here Dockerfile)" in answer.out


def test_the_convergence_line_on_a_small_set(facades: Path, small_launch: list[str], tmp_path: Path) -> None:
    small = [*small_launch, "--set", "schedule.epochs=1", "--set", "schedule.epochs_decay=0"]
    small += ["--set", "data.max_dataset_size=2"]
    line = (LINE[0], "1", "1", "FP32", "false", "ignore_check")
    variables = {**EXPORTS, **CONVERGENCE, "DATASETS_DIR": str(facades), "LOG_DIR": "old-logs", "WORK_DIR": "old"}
    answer = launch_sh(SCRIPT, (*line, *small), tmp_path, **variables)
    assert answer.code == 0, answer.err
    [record] = (tmp_path / "cndb" / "records").iterdir()
    values = yaml.safe_load(record.read_text())
    assert (values["model"], values["batch_size"]) == ("pix2pix-resnet_9blocks", 1)
    assert values["code_link"] == EXPORTS["CODE_LINK"]
    assert len(list((tmp_path / "old-logs").iterdir())) == len(list((tmp_path / "old" / "results").iterdir())) == 1


@two_ranks
@pytest.mark.slow
@pytest.mark.parametrize("devices", ["1", "8"])
def test_the_performance_lines_on_a_small_set(devices: str, small_launch: list[str], tmp_path: Path) -> None:
    synth(tmp_path / "sets" / "facades", {"train": 32, "val": 1, "test": 1}, size=40, seed=1)
    small = [*small_launch, "--steps", "2", "--warmup", "1"]
    small[small.index("--datasets-dir") : small.index("--dataset") + 2] = []  # the exports name them
    check = "false" if devices == "1" else "ignore_check"  # fewer cores than ranks are refused
    line = (LINE[0], "32", devices, "FP32", "false", check)
    answer = launch_sh(SCRIPT, (*line, *small), tmp_path, **EXPORTS | {"DATASETS_DIR": str(tmp_path / "sets")})
    assert answer.code == 0, answer.err
    [record] = (tmp_path / "cndb" / "records").iterdir()
    values = yaml.safe_load(record.read_text())
    assert (values["model"], values["batch_size"], values["dev_num"]) == ("pix2pix-resnet_9blocks", 32, int(devices))
    assert (values["dataset"], values["code_link"]) == ("facades", EXPORTS["CODE_LINK"])


def test_in_the_originals_folder_its_script_is_named(facades: Path, tmp_path: Path) -> None:
    folder = tmp_path / "PyTorch" / "pix2pix"
    folder.mkdir(parents=True)
    (folder / "pt-pix2pix.sh").write_text('docker exec -it "${CONT_NAME}" bash -c "python train.py"\n')
    (folder / "Dockerfile").write_text("FROM a/pytorch\nRUN git clone https://x/pytorch-CycleGAN-and-pix2pix.git\n")
    exports = {**EXPORTS, "DATASETS_DIR": str(facades)}
    for variable in ("RUN_MODEL_FILE", "DOCKERFILE"):
        answer = launch_sh(SCRIPT, LINE, tmp_path, **exports)
        assert answer.code == 2
        assert answer.err.startswith(f"gbench: error: {variable} {folder}/")
        del exports[variable]
    assert launch_sh(SCRIPT, (*LINE, *PLAN), tmp_path, **exports).code == 0
    assert not (tmp_path / "results").exists()
