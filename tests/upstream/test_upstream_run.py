"""`gbench launch` with scripts/pt-pix2pix-upstream.sh, on a fake repository with upstream's command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import SMALL, Answer

from drawn_upstream import DATA_S, STEP_S, draw, git
from gbench.cndb.record import checked
from gbench.cndb.record_file import read_record
from gbench.compare.metrics import metric_named

Gbench = Callable[..., Answer]
SCRIPT = "pt-pix2pix-upstream.sh"  # the project's, found from any folder
HOST = "https://example.org/pix2pix"


@pytest.fixture
def launch(gbench: Gbench, small_launch: list[str]) -> Callable[..., Answer]:
    def run(code_link: str, *more: object, **variables: str) -> Answer:
        given = [*small_launch, "--run-model-file", SCRIPT, "--code-link", code_link, "--steps", 9, "--warmup", 2]
        return gbench("launch", "pix2pix_resnet_9blocks", 4, 1, "FP32", *given, *more, **variables)

    return run


def test_upstreams_lines_become_a_record(launch: Callable[..., Answer], gbench: Gbench, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    commit = draw(clone)
    answer = launch(f"{HOST}/blob/{commit}/train.py", "--json", UPSTREAM_DIR=str(clone))
    assert answer.code == 0, answer.err
    record, folder = answer.json["record"], Path(answer.json["paths"]["run"])
    assert (record["model"], record["batch_size"], record["dev_num"]) == ("pix2pix-resnet_9blocks", 4, 1)
    assert (record["train_type"], record["dist_type"], record["dataset"]) == ("FP32", "Single", "synthetic")
    perf = record["perf_data"]
    # a sleep is never too short
    assert 0 < perf["throughput"] <= 4 / (STEP_S + DATA_S)
    assert perf["throughput"] < perf["throughput_without_data_img_s"]
    assert 0 < perf["throughput_legacy_img_s"] <= 4 / (STEP_S - 4 * 0.0005)  # rounded to a millisecond an image
    assert perf["latency"] == pytest.approx(4 / perf["throughput"]) and perf["latency_unit"] == "s/step"
    assert 0 < perf["data_share"] < 1 and perf["variance"] >= 0
    assert perf["step"]["p95_s"] >= STEP_S and perf["memory"][0]["host_rss_bytes"] > 2**20
    for metric in map(metric_named, ("latency-p95", "memory")):
        assert metric.read(checked(record, "it")) is not None
    reported = gbench("summary", folder, "--json").json["perf_data"]
    assert reported["throughput"] == perf["throughput"] and "throughput " in gbench("summary", folder).out
    assert record["extra"]["recipe"] == "custom"
    assert record["extra"]["precision_flags"]["ran"] == "FP32"
    assert record["soft_info"]["pytorch_version"] and record["extra"]["kernel"]

    told = json.loads((folder / "upstream.json").read_text())
    assert told["commit"] == commit and told["figures"]["throughput_img_s"] == perf["throughput"]
    assert [timed["line"]["iters"] for timed in told["lines"]] == [4, 8, 12, 16, 4, 8, 12, 16, 4]  # 16 images
    assert (folder / "log.txt").read_text().count("(epoch: ") == 9  # ended there, and not after three whole epochs
    assert git(clone, "status", "--porcelain", "--ignored") == ""  # nothing is written where the code is


def test_without_dulwich_one_sentence_names_the_extra(launch: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked/dulwich.py").write_text("raise ModuleNotFoundError(name='dulwich')")
    commit = draw(tmp_path / "clone")
    variables = {"UPSTREAM_DIR": str(tmp_path / "clone"), "PYTHONPATH": str(tmp_path / "blocked")}
    answer = launch(f"{HOST}/blob/{commit}/train.py", **variables)
    assert answer.code == 4, answer.err
    last = answer.err.splitlines()[-1]
    assert last.startswith("gbench: error: ") and answer.err.count("gbench: error: ") == 1
    assert "dulwich is not installed in " in last and last.endswith("; pip install 'gbench[upstream]'")
    assert "Traceback" not in answer.err and not (tmp_path / "cndb").exists()


@pytest.mark.parametrize(
    ("train", "more", "sentence"),
    [
        ("raise ValueError('no\\nluck')", "pass", "train.py failed (ValueError: no luck)"),
        (None, "torch.backends.cudnn.allow_tf32 = True", "PRECISION FP32 was requested, torch reports mixed FP32/TF32"),
    ],
)
def test_a_run_that_goes_wrong_is_one_sentence_and_no_record(
    launch: Callable[..., Answer], tmp_path: Path, train: str | None, more: str, sentence: str
) -> None:
    commit = draw(tmp_path / "clone", train, more)
    answer = launch(f"{HOST}/blob/{commit}/train.py", UPSTREAM_DIR=str(tmp_path / "clone"))
    assert answer.code == 1, answer.err
    assert sentence in answer.err.splitlines()[-1]
    assert answer.err.count("gbench: error: ") == 1 and "Traceback" not in answer.err
    assert not (tmp_path / "cndb").exists()


@pytest.mark.slow
def test_ab_compares_it_with_ours_by_any_figure(gbench: Gbench, facades: Path, tmp_path: Path) -> None:
    commit = draw(tmp_path / "clone")
    ours = {"model": "pix2pix_resnet_6blocks", "batch_size": 4, "device_count": 1, "precision": "FP32"}
    ours |= {"device": "cpu", "runner": "local", "datasets_dir": str(facades), "dataset": "synthetic"}
    ours |= {"steps": 9, "warmup": 2, "set": SMALL, "cache_dir": str(tmp_path / "cache")}
    upstream = {"run_model_file": SCRIPT, "code_link": f"{HOST}/blob/{commit}/train.py"}
    for name, values in (("upstream", {**ours, **upstream}), ("ours", ours)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    given = ("upstream.yaml", "ours.yaml", "--metric", "memory", "--max-blocks", 1, "--json")
    answer = gbench("ab", *given, UPSTREAM_DIR=str(tmp_path / "clone"))
    assert answer.code == 3, answer.err  # one block gives no interval
    assert (answer.json["metric"], len(answer.json["runs"])) == ("memory", 4)
    assert answer.json["ratio"]["ratio"] > 0
    p95 = metric_named("latency-p95")  # a session by this metric would compare these figures
    for record in (read_record(Path(run["record"])) for run in answer.json["runs"]):
        figure = p95.read(record)
        assert figure is not None and figure.value > 0 and p95.unit_in(record) == "s"
