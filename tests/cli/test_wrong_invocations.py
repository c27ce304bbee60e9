"""Wrong invocations and their one-sentence answers: what, where, what to do; an exit code; no traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

import gbench.cli

MODEL = "pix2pix_resnet_9blocks"
GOOD = ["launch", MODEL, "4", "1", "FP32", "--device", "cpu", "--runner", "local"]
EVAL = ["eval", "{file}", "--model", MODEL, "--device", "cpu", "--runner", "local"]
CONVERGE = ["converge", MODEL, "4", "1", "FP32", "--device", "cpu", "--runner", "local"]
ONE_DEVICE = ["--device-counts", "1", "--precisions", "FP32"]
ON_CPU = ["--device", "cpu", "--runner", "local", "--datasets-dir", "{data}"]
SWEEP = ["sweep", MODEL, "--batch-sizes", "4", *ONE_DEVICE, *ON_CPU]
TWO_NODES = ["launch", MODEL, "4", "2", "FP32", *ON_CPU, "--nodes", "2", "--rdzv", "127.0.0.1:1"]
SLURM = ["launch", MODEL, "4", "1", "FP32", "--device", "cpu", "--runner", "slurm", "--datasets-dir", "{data}"]
KUBERNETES = ["launch", MODEL, "4", "1", "FP32", "--device", "cpu", "--runner", "kubernetes", "--claim", "c"]
BRANCH = "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/blob/master/models/networks.py"

# arguments; {data} is a good dataset, {empty} an empty folder, {file} a file -> exit code, parts of the sentence
TABLE: list[tuple[list[str], int, list[str]]] = [
    ([], 2, ["Usage: gbench"]),
    (["quux"], 2, ["no such command 'quux'", "gbench --help"]),
    (["lauch"], 2, ["no such command 'lauch'", "did you mean launch?"]),
    (["Launch", MODEL], 2, ["did you mean launch?"]),
    ([*GOOD, "--nodes", "2", "--rdzv", "10.0.0.1"], 2, ["'10.0.0.1' is not an address and a port like 10.0.0.1:29500"]),
    ([*GOOD, "--nodes", "2", "--rdzv", "10.0.0.1:1"], 2, ["DEVICE_COUNT 1", "evenly over 2", "take 2"]),
    ([*GOOD, "--rdzv-timeout", "5m"], 2, ["--rdzv-timeout has no effect on one node"]),
    ([*TWO_NODES, "--allow", "colour"], 2, ["--allow 'colour' is not a field of nodes", "known: device, image, torch"]),
    ([*GOOD, "--queue-timeout", "2h"], 2, ["--queue-timeout has no effect", "add --runner slurm or kubernetes"]),
    ([*GOOD, "--detach"], 2, ["--detach has no effect", "add --runner slurm or kubernetes"]),
    ([*SLURM, "--sbatch", "--mem=0 -J mine"], 2, ["--sbatch '-J': gbench sets this itself"]),
    ([*SLURM, "--sbatch", "--output=/tmp/x"], 2, ["--sbatch '--output=/tmp/x': gbench sets this itself"]),
    ([*SLURM, "--sbatch", '--comment="a'], 2, ["is not an option of sbatch (No closing quotation)"]),
    ([*SLURM, "--results", "back\\slash"], 2, ["can't take the run folder", "backslash", "take another --results"]),
    ([*SLURM, "--results", "new\nline"], 2, ["can't take the run folder", "line break", "take another --results"]),
    ([*KUBERNETES, "--image", "a b"], 2, ["--image 'a b' is no name of an image", "REGISTRY/NAME:TAG"]),
    (["tune", *SLURM[1:]], 2, ["--runner slurm can't tune", "tune in a job, by --runner local"]),
    (["cndb", "lits"], 2, ["'lits'", "did you mean list? See `gbench cndb --help`"]),
    (["launch"], 2, ["missing argument 'MODEL'", "gbench launch --help"]),
    (["launch", MODEL, "4"], 2, ["missing argument 'DEVICE_COUNT'"]),
    (["launch", "pix2pix_resnet_9block", "4", "1", "FP32"], 2, ["did you mean pix2pix_resnet_9blocks?"]),
    (["launch", "resnet50", "4", "1", "FP32"], 2, ["'resnet50' is not in", "pix2pix_unet_256", "gbench models"]),
    (["launch", MODEL, "four", "1", "FP32"], 2, ["'four' is not a valid whole number"]),
    (["launch", MODEL, "0", "1", "FP32"], 2, ["BATCH_SIZE", "0 is not in the range"]),
    (["launch", MODEL, "4", "0", "FP32"], 2, ["DEVICE_COUNT", "0 is not in the range"]),
    (["launch", MODEL, "5", "2", "FP32"], 2, ["BATCH_SIZE 5", "take 4 or 6"]),
    (["launch", MODEL, "4", "1", "fp16"], 2, ["PRECISION 'fp16'", "did you mean AMP?"]),
    (["launch", MODEL, "4", "1", "FP8"], 2, ["PRECISION 'FP8'", "FP32, TF32, AMP, BF16"]),
    (["launch", MODEL, "4", "1", "TF32", "--device", "cpu"], 2, ["TF32", "--device cpu", "take FP32"]),
    (["profile", *GOOD[1:], "--steps", "0"], 2, ["--steps", "0 is not in the range"]),
    (["profile", *GOOD[1:], "--warmup", "0"], 2, ["--warmup", "0 is not in the range"]),
    (["profile", *GOOD[1:], "gpu-performance"], 2, ["unexpected extra argument", "gpu-performance"]),
    (["profile", MODEL, "5", "2", *GOOD[4:]], 2, ["BATCH_SIZE 5", "take 4 or 6"]),
    ([*GOOD, "--data", "cache"], 2, ["--data", "'cache' is not one of", "'cached'"]),
    ([*GOOD, "--set", "data.source=disk"], 2, ["data.source", "'real', 'cached'", "'disk'"]),
    ([*GOOD, "--datasets-dir", "~nobody-here/data"], 2, ["~nobody-here/data: nobody here has that home folder"]),
    (
        ["compare", "~nobody-here/a.yaml", "~nobody-here/a.yaml"],
        2,
        ["~nobody-here/a.yaml: nobody here has that home folder"],
    ),
    (["replay", "~nobody-here/a.yaml"], 2, ["~nobody-here/a.yaml: nobody here has that home folder"]),
    ([*GOOD, "--env", "THREADS"], 2, ["--env", "'THREADS' is not NAME=VALUE"]),
    ([*GOOD, "--env", "RUN_DIR=/tmp"], 2, ["--env 'RUN_DIR' is set by the run itself", "leave it out"]),
    ([*GOOD, "--profile", "fast"], 2, ["--profile 'fast'", "reference, optimized"]),
    ([*GOOD, "--profile", "reference", "--set", "speed.adam=fused"], 2, ["speed.adam=fused", "custom"]),
    ([*GOOD, "--profile", "optimized", "--set", "speed.adam=fused"], 2, ["--profile optimized decides", "leave one"]),
    (
        [*GOOD, "--profile", "optimized", "--datasets-dir", "{data}", "--cache-dir", "{empty}"],
        2,
        [
            "no tuning is remembered",
            "run `gbench tune",
            "4 1 FP32 --device cpu --runner local",
            "--cache-dir {empty}",
        ],
    ),
    ([*GOOD, "--set", "speed.adam=quick"], 2, ["speed.adam", "'default', 'foreach' or 'fused'"]),
    ([*GOOD, "--set", "speed.cuda_graph=true"], 2, ["speed.cuda_graph needs a GPU", "--device cpu"]),
    ([*GOOD, "--set", "speed.static_graph=true"], 2, ["speed.static_graph", "one device has none"]),
    (["launch", "pix2pix_unet_256", *GOOD[2:], "--set", "speed.compile=blocks"], 2, ["unet_256 has none", "networks"]),
    (["tune", MODEL, "4", "1"], 2, ["missing argument 'PRECISION'", "gbench tune --help"]),
    (["tune", *GOOD[1:], "--profile", "optimized"], 2, ["no such option '--profile'"]),
    (["tune", *GOOD[1:], "--set", "speed.adam=fused"], 2, ["gbench tune tries the switches by itself", "leave it out"]),
    (["tune", *GOOD[1:], "--max-time", "0s"], 2, ["'0s' is not a time span"]),
    ([*GOOD, "--cache-limit", "-1"], 2, ["--cache-limit", "-1"]),
    (["converge", *GOOD[1:], "--data", "synthetic"], 2, ["--data synthetic", "take another --data"]),
    (["launch", MODEL, "4", "1", "FP32", "gpu-perf"], 2, ["DATABASE 'gpu-perf'", "gpu-performance", "or false"]),
    (["launch", MODEL, "4", "1", "FP32", "postgresql://u:p@h/d"], 2, ["DATABASE is a URI", "YAML file"]),
    (["sweep"], 2, ["missing argument MODEL or MATRIX.yaml", "gbench sweep --help"]),
    (["sweep", MODEL, "--batch-sizes", "4", "--precisions", "FP32"], 2, ["missing option --device-counts"]),
    (["sweep", MODEL, *ONE_DEVICE], 2, ["give --batch-sizes or --per-device-batch-sizes"]),
    ([*SWEEP, "--per-device-batch-sizes", "4"], 2, ["either totals over all devices, or a device's"]),
    ([*SWEEP, "--batch-sizes", "4,,8"], 2, ["--batch-sizes", "'4,,8' is not a list of numbers"]),
    ([*SWEEP, "--batch-sizes", "9" * 5000], 2, ["--batch-sizes", "is not a list of numbers"]),
    ([*SWEEP, "--batch-sizes", "9" * 10], 2, ["--batch-sizes", "is not a list of numbers"]),
    ([*SWEEP, "--device-counts", "0,1"], 2, ["--device-counts", "'0,1' is not a list of numbers"]),
    ([*SWEEP, "--precisions", "FP32,fp16"], 2, ["--precisions 'fp16'", "did you mean AMP?"]),
    ([*SWEEP, "--batch-sizes", "3,5", "--device-counts", "2"], 2, ["none of the cells can run", "BATCH_SIZE 3"]),
    ([*SWEEP, "--precisions", "TF32"], 2, ["none of the cells can run", "TF32 does not exist on --device cpu"]),
    ([*SWEEP, "--batch-sizes", "32"], 2, ["none of the cells can run", "16 images, fewer than one batch of 32"]),
    ([*SWEEP, "--datasets-dir", "{empty}"], 4, ["no dataset in {empty}"]),
    ([*SWEEP, "--warmup", "60"], 2, ["60 warm-up steps leave none"]),
    (["sweep", MODEL, "gpu-perf", *SWEEP[2:]], 2, ["DATABASE 'gpu-perf'", "gpu-performance"]),
    ([*SWEEP, "--csv", "--json"], 2, ["--csv and --json contradict"]),
    (["sweep", "{empty}/m.yaml"], 2, ["{empty}/m.yaml can't be read", "No such file"]),
    (["sweep", "{empty}/m.yaml", "--steps", "5"], 2, ["leave out --steps"]),
    (["sweep", "--resume", "{empty}"], 4, ["{empty} has no sweep.json"]),
    (
        [*SWEEP, "--resume", "{empty}"],
        2,
        ["--resume takes all from its sweep folder", "leave out MATRIX, --batch-sizes"],
    ),
    (["cndb", "submit"], 2, ["submit needs record files", "--pending"]),
    (["cndb", "submit", "{empty}"], 1, ["{empty} has no spec.json", "folder of a gbench run"]),
    (["cndb", "submit", "{empty}/none.yaml"], 2, ["{empty}/none.yaml can't be read", "No such file"]),
    (["cndb", "list"], 4, ["there is no database", "cndb.sqlite yet", "gbench cndb submit"]),
    (["cndb", "list", "--since", "yesterday"], 2, ["--since 'yesterday'", "30d"]),
    (["cndb", "list", "--csv", "--json"], 2, ["contradict"]),
    (["cndb", "list", "--since", "0001-01-01T00:00+05:00"], 2, ["--since '0001-01-01T00:00+05:00'", "30d"]),
    (["cndb", "list", "--limit", "9999999999"], 2, ["9999999999 is not in the range"]),
    (["cndb", "show", "0"], 2, ["0 is not in the range"]),
    (["cndb", "show", "9999999999999999999999"], 2, ["is not in the range"]),
    (["cndb", "submit", "--pending", "--db", "gpu-demo"], 2, ["--db and --pending contradict", "spool"]),
    (["cndb", "submit", "--pending", "--store-type", "save"], 2, ["--store-type and --pending contradict"]),
    (["cndb", "import", "{file}"], 1, ["{file} holds no benchmark log line", "give a benchmark log"]),
    (["cndb", "import", "{empty}"], 4, ["{empty} can't be read (Is a directory)"]),
    (["cndb", "import", "{file}", "--db", "{file}"], 2, ["database config {file} is not a mapping"]),
    (["cndb", "verify", "{file}"], 4, ["{file}: not a mapping of record keys"]),
    (["launch", MODEL, "4", "1", "FP32", "false", "perhaps"], 2, ["neither false nor ignore_check"]),
    (["launch", MODEL, "4", "1", "FP32", "--devcie", "cpu"], 2, ["no such option '--devcie'", "--device"]),
    (
        ["launch", "--resume", "latest"],
        2,
        ["no such option '--resume': it belongs to converge, sweep, calibrate, ab and more;"],
    ),
    (["launch", "--bulk", "4"], 2, ["no such option '--bulk'; see `gbench launch --help`"]),
    (
        ["summary", "--out", "x"],
        2,
        ["no such option '--out': it belongs to converge, eval, data prepare, data synth and more;"],
    ),
    (["cndb", "--store-type", "save"], 2, ["no such option '--store-type': it belongs to cndb submit, cndb import;"]),
    (["launch", MODEL, "4", "1", "FP32", "--device", "tpu"], 2, ["--device 'tpu'", "cuda, cpu"]),
    (["launch", MODEL, "4", "1", "FP32", "--runner", "podman"], 2, ["--runner 'podman'", "docker, local"]),
    (["launch", MODEL, "4", "1", "FP32", "--timeout", "soon"], 2, ["'soon' is not a time span", "15m"]),
    ([*GOOD, "--set", "network.nfg=16"], 2, ["'network.nfg'", "did you mean network.ngf?"]),
    ([*GOOD, "--set", "ngf=8"], 2, ["'ngf'", "did you mean network.ngf?"]),
    ([*GOOD, "--set", "crop-size=8"], 2, ["'crop-size'", "did you mean data.crop_size?"]),
    ([*GOOD, "--set", "schedule.decay_epochs=8"], 2, ["did you mean schedule.epochs_decay?"]),
    ([*GOOD, "--set", "n_epochs=8"], 2, ["did you mean schedule.epochs?"]),
    ([*GOOD, "--set", "schedule.n_epochs_decay=8"], 2, ["did you mean schedule.epochs_decay?"]),
    ([*GOOD, "--set", "lambda_l1=8"], 2, ["did you mean optim.lambda_L1?"]),
    ([*GOOD, "--set", "num_threads=8"], 2, ["did you mean data.workers?"]),
    ([*GOOD, "--set", "network.ngf"], 2, ["not KEY=VALUE", "network.ngf=16"]),
    ([*GOOD, "--set", "network.ngf=many"], 2, ["network.ngf", "valid integer", "'many'"]),
    ([*GOOD, "--set", "data.crop_size=300"], 2, ["data.crop_size 300", "data.load_size=335"]),
    ([*GOOD, "--set", "data.crop_size=16"], 2, ["data.crop_size 16 is too small", "24"]),
    ([*GOOD, "--steps", "5"], 2, ["10 warm-up steps", "--warmup"]),
    ([*GOOD, "--set", "schedule.max_warmup_steps=5"], 2, ["max_warmup_steps 5 is below the 10 steps", "--warmup"]),
    ([*GOOD, "--code-link", BRANCH], 2, ["CODE_LINK", "no commit id", "commit"]),
    ([*GOOD, "--dockerfile", "{empty}/Dockerfile"], 2, ["DOCKERFILE {empty}/Dockerfile is not a file"]),
    ([*GOOD, "--run-model-file", "{empty}/run.sh"], 2, ["RUN_MODEL_FILE {empty}/run.sh is not a file"]),
    ([*GOOD, "--config", "{empty}/configs"], 2, ["CONFIG {empty}/configs is not a folder", "--config"]),
    ([*GOOD, "--datasets-dir", "{empty}/none"], 2, ["{empty}/none", "gbench data prepare facades --out {empty}/none/"]),
    ([*GOOD, "--datasets-dir", "{empty}"], 4, ["no dataset in {empty}", "gbench data prepare"]),
    ([*GOOD, "--datasets-dir", "{data}", "--results", "{file}/results"], 4, ["can't write {file}/results"]),
    ([*GOOD, "--datasets-dir", "{data}", "--cndb-dir", "{file}/cndb"], 4, ["can't write {file}/cndb/records"]),
    (["launch", MODEL, "4", "1", "FP32", "--datasets-dir", "{data}"], 4, ["no GPU was found", "--device cpu"]),
    ([*CONVERGE, "--visdom", "host:8097"], 2, ["--visdom 'host:8097' is not a URL", "http://localhost:8097"]),
    (["converge", "--visdom", *CONVERGE[1:]], 2, [f"--visdom '{MODEL}' is not a URL", "after the arguments"]),
    ([*CONVERGE, "--stop-on", "nan,slow"], 2, ["'slow' is not an alarm", "nan, collapse, flat, or any"]),
    ([*CONVERGE, "--stop-on", "any", "--set", "optim.gan_mode=wgangp"], 2, ["wgangp", "--stop-on nan,flat"]),
    (["converge", "--resume", "{empty}", "--stop-on", "nan"], 2, ["--resume takes all from its run folder"]),
    (["converge", "--resume", "{empty}", "--dry-run", "--timeout", "9"], 2, ["leave out --timeout, --dry-run"]),
    (["converge", "--add-reference", "{empty}", "--out", "{empty}/r", "--dry-run"], 2, ["leave out --dry-run"]),
    (["converge", "--check", "{empty}", "--estimate"], 2, ["--check RUN starts nothing; leave out --estimate"]),
    ([*CONVERGE, "--seeds", "2", "--estimate", "--datasets-dir", "{data}"], 2, ["--estimate is of one run"]),
    ([*GOOD, "--set", "alarms.stop_on=[nan]"], 2, ["alarms.stop_on is for convergence runs", "gbench converge"]),
    (["summary", "{empty}"], 4, ["{empty} has no spec.json"]),
    (["eval"], 2, ["missing argument 'CHECKPOINT|RUN_DIR|IMAGES'"]),
    (["eval", "{empty}/none"], 2, ["{empty}/none can't be read", "fix the path"]),
    (["eval", "{empty}"], 4, ["{empty} has no spec.json"]),
    (["eval", "{file}"], 2, ["{file} does not say which model", "--model pix2pix_resnet_9blocks"]),
    (["eval", "{file}", "--best"], 2, ["--best and --epoch choose among a run's checkpoints"]),
    (["eval", "{empty}", "--model", MODEL], 2, ["--model is for a bare checkpoint"]),
    (["eval", "{file}", "--model", "pix2pix_unet"], 2, ["did you mean pix2pix_unet_"]),
    (
        ["eval", "{file}", "--model", MODEL, "--batch", "4"],
        2,
        ["--per-device-batch-size 4 would change the result", "--eval-mode"],
    ),
    (["eval", "{file}", "--model", MODEL, "--fid-weights", "{empty}/w"], 2, ["{empty}/w can't be read (No such file"]),
    ([*EVAL, "--datasets-dir", "{empty}"], 4, ["no dataset in {empty}"]),
    ([*EVAL, "--datasets-dir", "{data}", "--set", "data.phase=best"], 2, ["data.phase"]),
    ([*EVAL, "--datasets-dir", "{data}", "--out", "{file}/out"], 4, ["can't write {file}/out"]),
    ([*EVAL, "--datasets-dir", "{data}", "--out", "{empty}"], 4, ["can't write {empty}", "File exists"]),
    (["models", "pix2pix_unet"], 2, ["did you mean pix2pix_unet_"]),
    (["data", "verify"], 2, ["there is no dataset in data/facades; `gbench data prepare facades` makes it"]),
    (["data", "stats"], 2, ["there is no dataset in data/facades; `gbench data prepare facades` makes it"]),
    (["data", "verify", "{empty}"], 4, ["{empty} has no manifest.json"]),
    (["completion", "tcsh"], 2, ["invalid value for 'SHELL': 'tcsh' is not one of"]),
    (["data", "prepare"], 2, ["missing argument 'NAME': choose from facades; see"]),
    (["data", "prepare", "maps"], 2, ["invalid value for 'NAME': 'maps' is not 'facades'"]),
    (["data", "synth", "--size", "x"], 2, ["'x' is not a valid whole number"]),
    (["cndb", "show", "x"], 2, ["'x' is not a valid whole number"]),
    ([*GOOD, "--repeats", "99999999999"], 2, ["'--repeats': 99999999999 is not below 2147483648"]),
    ([*GOOD, "--seed", "99999999999999999999"], 2, ["'--seed': 99999999999999999999 is not below 9223372036854775808"]),
    ([*GOOD, "--cache-limit", "nan"], 2, ["'--cache-limit': nan is not a number"]),
    ([*GOOD, "--cache-limit", "inf"], 2, ["'--cache-limit': inf is not a number"]),
    ([*GOOD, "--timeout", "9999999h"], 2, ["'9999999h' is not a time span", "of at most a year"]),
    ([*GOOD, "--until-ci", "300%"], 2, ["'300%' is not a percentage like 1%, above 0% and below 100%; see"]),
]


@pytest.mark.parametrize(("arguments", "code", "parts"), TABLE, ids=[" ".join(row[0]) or "nothing" for row in TABLE])
def test_the_answer_is_one_sentence_and_an_exit_code(
    arguments: list[str],
    code: int,
    parts: list[str],
    facades: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"data": str(facades), "empty": str(tmp_path / "empty"), "file": str(tmp_path / "file")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gbench", *(argument.format(**places) for argument in arguments)])
    with pytest.raises(SystemExit) as exit:
        gbench.cli.main()
    out, err = capsys.readouterr()
    assert exit.value.code == code
    for part in parts:
        assert part.format(**places) in err
    if "--json" in arguments:
        error = json.loads(out)["error"]
        assert (error["exit_code"], f"{error['what']}; {error['hint']}" in err) == (code, True)
    else:
        assert out == ""
    if arguments:  # nothing at all is answered with the help
        assert err.startswith("gbench: error: ")
        assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "file"}  # nothing was started


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="needs a machine without a GPU")
def test_there_is_no_silent_fall_back_to_the_processor(gbench: Callable[..., Answer], facades: Path) -> None:
    answer = gbench("launch", MODEL, 4, 1, "FP32", "--runner", "local", "--datasets-dir", facades)
    assert answer.code == 4
    assert "--device cpu" in answer.err


NAMING_A_PATH = [
    line.replace("MODEL", MODEL).split()
    for line in """
    launch {}.yaml
    sweep {}.yaml
    ab {} {file}
    ab {file} {}
    ab --resume {}
    sweep --resume {}
    converge --resume {}
    converge --check {}
    converge --check {empty} --evaluation {}
    converge --check {empty} --reference {}
    converge --add-reference {} --out x
    eval {}
    eval {file} --lpips-weights {}
    summary {}
    report {}
    compare {} {}
    compare {file} {}
    replay {}
    cndb submit {}
    cndb import {}
    cndb verify {}
    cndb verify {file} --run {}
    data verify {}
    data stats {}
    data prepare facades --archive {}
    launch MODEL 4 1 FP32 --run-model-file {}
    launch MODEL 4 1 FP32 --datasets-dir {}
    launch MODEL 4 1 FP32 --dockerfile {}
    launch MODEL 4 1 FP32 --config {}
    converge MODEL 4 1 FP32 --datasets-dir {}
    profile MODEL 4 1 FP32 --datasets-dir {}
    tune MODEL 4 1 FP32 --datasets-dir {}
    sweep MODEL --batch-sizes 4 --device-counts 1 --precisions FP32 --datasets-dir {}
    check --datasets-dir {}
    eval {file} --model MODEL --datasets-dir {}
    eval {file} --model MODEL --dockerfile {}
    eval {file} --model MODEL --config {}
    eval {file} --fid-weights {}
    build --dockerfile {}
    models --config {}
    replay {file} --datasets-dir {}
    converge --check {empty} --images {}
    runs --results {}
    watch {}
    cndb list --db {}.yaml
    """.strip().splitlines()
]


@pytest.mark.parametrize("arguments", NAMING_A_PATH, ids=[" ".join(row)[:50] for row in NAMING_A_PATH])
def test_a_path_that_is_not_there_is_exit_code_2(
    arguments: list[str], tmp_path: Path, gbench: Callable[..., Answer]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    places = {"empty": str(tmp_path / "empty"), "file": str(tmp_path / "file")}
    answer = gbench(*(argument.format("nowhere", **places) for argument in arguments))
    assert answer.code == 2, answer.err
    assert "nowhere" in answer.err
    assert (answer.out, answer.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    "line",
    [
        *("ab empty empty", "launch d.yaml", "sweep d.yaml", "summary file", "converge --resume file"),
        *("data stats file", "cndb verify empty", "cndb verify file --run file"),
        "eval file --fid-weights empty",
    ],
)
def test_a_path_that_cant_be_used_is_exit_code_4(line: str, tmp_path: Path, gbench: Callable[..., Answer]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "d.yaml").mkdir()
    (tmp_path / "file").write_text("")
    answer = gbench(*line.split())
    assert (answer.code, "can't be read (" in answer.err) == (4, True)
