"""The benchmarks at their smallest size: all of them run and print their comparison. Times are not checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import drawn_upstream

pytestmark = pytest.mark.system

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def gpu(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """gpu.sh, in this Python."""
    command, environ = ["bash", str(BENCHMARKS / "gpu.sh"), *arguments], {**os.environ, "PYTHON": python}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


def test_the_table_has_a_row_for_every_comparison() -> None:
    command = [sys.executable, str(BENCHMARKS / "table.py"), "--smallest", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    rows = {row["what"]: row for row in found["rows"]}
    assert {row["script"] for row in found["rows"]} == {
        "step.py",
        "startup.py",
        "loader.py",
        "overhead.py",
        "stats.py",
        "cndb.py",
        "reading.py",
    }
    for row in rows.values():
        assert row["ours"]["value"] > 0 and row["reference"]["value"] > 0 and row["against"]
        assert row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
    for database in ("SQLite of 300", "PostgreSQL of 300"):
        found_rows = {f"submit, 1 a transaction, {database}", f"submit, 500 a transaction, {database}"}
        assert {*found_rows, f"import 30 lines, {database}"} <= set(rows)
        assert any(name.startswith(f"gbench_latest, {database}, processor time; grows with exponent") for name in rows)
    assert rows["gbench --help"]["goal"] == 0.15


TRAIN = """
from pathlib import Path

import torch
from options.train_options import parse
from plain import PlainStep
from torch.utils.data import DataLoader

from gbench.pix2pix import build_discriminator, build_generator
from gbench.pix2pix.data.pairs import AlignedDataset
from gbench.settings.model_config import DataConfig

if __name__ == "__main__":
    opt = parse()
    networks = build_generator(opt.netG, ngf=opt.ngf), build_discriminator(opt.netD, ndf=opt.ndf)
    model = PlainStep(*networks, lambda_L1=opt.lambda_L1, lr=opt.lr)
    config = DataConfig(load_size=opt.load_size, crop_size=opt.crop_size, flip=False, direction=opt.direction)
    pairs = AlignedDataset(Path(opt.dataroot), config, 0)
    print("learning rate 0.0002 -> 0.0002")
    iter(DataLoader([0]))
    for image in range(0, len(pairs), opt.batch_size):
        batch = [pairs[0, image + place][:2] for place in range(opt.batch_size)]
        losses = model(*(torch.stack(half) for half in zip(*batch)))
        done = image + opt.batch_size
        if done % opt.print_freq == 0:
            line = "(epoch: 1, iters: %d, time: 0.001, data: 0.001) " % done
            print(line + "".join("%s: %.3f " % (name, float(loss)) for name, loss in losses.items()))
"""


def test_the_loop_against_a_train_py_of_equal_training(tmp_path: Path) -> None:
    link = f"https://example.org/pix2pix/blob/{drawn_upstream.draw(tmp_path / 'code', TRAIN)}/train.py"
    environ = {**os.environ, "UPSTREAM_DIR": str(tmp_path / "code"), "CODE_LINK": link}
    size = ["--side", "32", "--filters", "4", "--batch", "2", "--pairs", "1", "--steps", "2"]
    command = [sys.executable, str(BENCHMARKS / "step.py"), "--upstream", *size, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["against"] == "upstream's train.py" and row["ours"]["value"] > 0 and row["reference"]["value"] > 0


def test_a_benchmark_that_fails_is_a_row_and_an_exit_code(tmp_path: Path) -> None:
    script = "import sys, table; table.SCRIPTS = {'x.py': ((), ())}; table.HERE = table.Path(sys.argv.pop())\n"
    (tmp_path / "x.py").write_text("raise SystemExit('the disk is full')")
    command = [sys.executable, "-c", f"{script}sys.exit(table.main())", str(tmp_path)]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "| x.py | failed: exit code 1: the disk is full |" in done.stdout


def test_the_gpu_script_on_a_cpu_says_what_a_cpu_can_not_do(tmp_path: Path) -> None:
    done = gpu("--device", "cpu", "--out", str(tmp_path / "out"), "--only", "*32 real")
    assert done.returncode == 0, done.stdout + done.stderr
    title, fp32, tf32 = (line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| "))
    assert title[:2] == ["| run", "img/s"]
    assert fp32[0] == "| reference FP32 real" and float(fp32[1]) > 0
    assert tf32[0] == "| reference TF32 real" and "TF32 does not exist on --device cpu" in tf32[1]
    table = [sys.executable, str(BENCHMARKS / "gpu_table.py"), str(tmp_path / "out"), "--json"]
    rows = json.loads(subprocess.run(table, check=True, capture_output=True, text=True).stdout)["rows"]
    assert (rows[0]["precision"], rows[0]["data"]) == ("FP32", "real") and rows[0]["data_share"] >= 0
    assert rows[0]["measured_share"] > 0 and rows[0]["memory_gib"] > 0
    assert set(rows[1]) == {"run", "failed"}


def test_what_the_budget_has_no_time_for_is_a_row_too(tmp_path: Path) -> None:
    done = gpu("--device", "cpu", "--out", str(tmp_path / "out"), "--budget", "0")
    assert done.returncode == 1  # no run ended well
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(lines) > 10
    assert all("not run: the budget of 0 s was used up" in line for line in lines[1:])


# gbench on a card that has no TF32 and no BF16, whose tunings take too long, and where one answer is cut off.
V100 = f"""#!/usr/bin/env bash
case "$*" in
  *gpu_table.py*) exec {sys.executable} "$@" ;;
  *"data synth "* | *step.py*) exit ;;
  *" TF32 "* | *" BF16 "*) echo "gbench: error: PRECISION needs compute capability 8.0" >&2; exit 2 ;;
  *" tune "*) exit 124 ;;
  *"--data resident"*) echo '{{"record": ' ;;
  *) cat <<'RECORD'
{{"record": {{"dev": "V100-SXM2-16GB", "train_type": "AMP", "hyper_params": null, "perf_data": {{"data_source": "real",
 "throughput": 20.0, "count": 9, "steady_state": true, "data_share": 0.0, "throughput_without_data_img_s": 20.0}}}}}}
RECORD
esac
"""


def test_a_card_without_a_precision_is_measured_in_another(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(V100)
    python.chmod(0o755)
    done = gpu("--out", str(tmp_path / "out"), python=str(python))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = dict(line.strip("| ").split(" | ")[:2] for line in done.stdout.splitlines() if line.startswith("| "))
    assert {"reference FP32 real", "reference AMP real", "reference AMP cached"} <= {
        name for name, first in rows.items() if first == "20"
    }
    assert "compute capability 8.0" in rows["reference BF16 real"]
    assert "is no answer of gbench" in rows["reference AMP resident"]
    assert rows["tune AMP"] == "ended: the budget was used up while it ran"
    assert not {name for name in rows if name.startswith("reference BF16") and not name.endswith("real")}


def test_the_gpu_scripts_table_tells_what_a_tuning_tried(tmp_path: Path) -> None:
    trial = {"change": {"channels_last": True}, "kept": True, "why": "1.100 times as fast (1.050 to 1.150): kept"}
    for end, text in (("code", "0"), ("json", json.dumps({"tuning": {"trials": [trial]}}))):
        (tmp_path / f"01-tune FP32.{end}").write_text(text)
    table = [sys.executable, str(BENCHMARKS / "gpu_table.py"), str(tmp_path)]
    done = subprocess.run(table, capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1] == f"tune FP32: channels_last=true: {trial['why']}"


@pytest.mark.parametrize("arguments", [("--device", "tpu"), ("--budget", "long"), ("--out",), ("--fast",)])
def test_wrong_arguments_of_the_gpu_script_are_one_sentence(arguments: tuple[str, ...]) -> None:
    done = gpu(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("gpu.sh: error: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "arguments", "code", "said"),
    [
        ("step.py", ("--pairs", "0"), 2, "'0' is no whole number of 1 or more"),
        ("step.py", ("--precision", "TF32"), 2, "TF32 does not exist on --device cpu"),
        ("step.py", ("--upstream", "--device", "cuda"), 2, "--upstream measures on a CPU in FP32"),
        ("startup.py", ("--rounds", "0"), 2, "'0' is no whole number of 1 or more"),
        ("scaling.py", ("--rounds", "-1"), 2, "'-1' is no whole number of 1 or more"),
        ("loader.py", ("--dataset", "/nonexistent"), 4, "no dataset in /nonexistent"),
        ("loader.py", ("--drawn", "4"), 2, "fewer than one batch"),
    ],
)
def test_wrong_arguments_of_a_benchmark_are_one_sentence(
    script: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"{script}: error: ") and said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
