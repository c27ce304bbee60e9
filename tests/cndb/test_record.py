"""The record in the original's terms, and the benchmark log line both ways."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from drawn_records import record
from gbench.cndb import log_line
from gbench.cndb.from_run import OF_ONE_RUN, failed_record, record_of, unmeasured_record
from gbench.cndb.identity import HASH_KEY, seal_of
from gbench.cndb.record import Named, Record, checked, impossible, require_possible
from gbench.cndb.record_file import file_name, records_of, to_yaml, write_record
from gbench.errors import RecordError, RunFailed
from gbench.measure.summary import summarize_folder
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec
from golden import check_golden
from run_folders import HOST, write_run

LINE = (
    "network:pix2pix-resnet_9blocks, batch size:32, device count:1, dpf mode:Single, precision:FP32, "
    "throughput:22.9 img/s, device:V100-PCIE-32GB, dataset:facades, nv_web_perf:N/A, github_perf_data:N/A, "
    "driver:460.73.01"
)
OF_CNDB = ("throughput", "throughput_unit", "latency", "latency_unit", "variance", "variance_unit", "count")
CONTRACT_KEYS = {
    "model",
    "batch_size",
    "framework",
    "dataset",
    "dev",
    "dev_num",
    "train_type",
    "eval_type",
    "dist_type",
    "perf_data",
    "metric_data",
    "hyper_params",
    "code_link",
    "soft_info",
    "hard_info",
    "md5_val",
    "tags",
    "extra",
}


def test_the_yaml_has_the_contracts_keys_sorted_and_reads_back() -> None:
    text = to_yaml(record(soft_info=Named(name="image:1", torch="2.7")))
    values = yaml.safe_load(text)
    assert set(values) == CONTRACT_KEYS
    assert list(values) == sorted(values)
    assert values["soft_info"] == {"name": "image:1", "torch": "2.7"}
    assert to_yaml(Record(**values)) == text


@pytest.mark.parametrize(
    "changes",
    [
        {"dev_num": 0},
        {"model": ""},
        {"dev": ""},
        {"perf_data": None},
        {"perf_data": {"throughput": float("nan")}},
        {"metric_data": {"G_L1": float("inf")}},
        {"surprise": 1},
    ],
)
def test_what_the_original_would_refuse_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        record(**changes)


def test_two_records_of_one_configuration_never_share_a_file(tmp_path: Path) -> None:
    first, second = (write_record(record(), tmp_path, run_id) for run_id in ("a", "b"))
    assert first != second
    assert first.parent == tmp_path / "records"
    assert file_name(record(), "a") == "pix2pix-resnet_9blocks_batch_size_32_dev_num_8_FP32_DDP_a.yaml"
    own = "20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c"
    assert file_name(record(eval_type="eager"), own) == (
        "pix2pix-resnet_9blocks_batch_size_32_dev_num_8_FP32_DDP_eager_20260101T000000Z-1a2b3c.yaml"
    )


@pytest.mark.parametrize("model", ["m", "m" * 200])
def test_names_of_record_files_are_short_and_differ(model: str) -> None:
    own = "20260101T000000Z-pix2pix_resnet_9blocks-1a2b3"
    run_ids = [f"{own}c", f"{own}d", "a", "../b", "a" * 300, "a" * 299 + "b"]
    names = {file_name(record(model=model), run_id) for run_id in run_ids}
    assert len(names) == len(run_ids)
    assert all(len(name) < 100 and "/" not in name for name in names)


def test_the_record_of_a_run_is_found_by_its_run_id(tmp_path: Path) -> None:
    own = "20260101T000000Z-pix2pix_resnet_9blocks-1a2b3c"
    path = write_record(record(), tmp_path, own)
    earlier = path.with_name(f"pix2pix_batch_size_1_precision_FP32_{own}.yaml")
    others = [write_record(record(), tmp_path, run_id) for run_id in (own[:-1] + "d", "a")]
    assert records_of(tmp_path, own) == [path]
    earlier.touch()
    assert records_of(tmp_path, own) == sorted([path, earlier])
    assert records_of(tmp_path, "a") == others[1:] and records_of(tmp_path, "*") == []


@pytest.mark.parametrize("name", ["pix2pix_v100_1", "pix2pix_v100_8", "pix2pix_convergency", "resnet50"])
def test_records_of_the_original_are_records_here(name: str, shared: Callable[[str], Path]) -> None:
    assert Record(**yaml.safe_load(shared(f"cndb-legacy/{name}.yaml").read_text())).framework in ("PyTorch", "tf")


def test_a_benchmark_line_becomes_record_keys() -> None:
    assert log_line.is_benchmark_line(LINE)
    assert log_line.parse(LINE) == {
        "model": "pix2pix-resnet_9blocks",
        "batch_size": 32,
        "dev_num": 1,
        "dist_type": "Single",
        "train_type": "FP32",
        "perf_data": {"throughput": 22.9, "throughput_unit": "img/s"},
        "dev": "V100-PCIE-32GB",
        "dataset": "facades",
        "extra": {"NV_Web": "N/A", "Github": "N/A", "driver": "460.73.01"},
    }


def test_the_line_written_is_the_line_read() -> None:
    values = log_line.parse(LINE)
    assert log_line.format_line(Record(framework="PyTorch", **values)) == LINE
    assert "throughput:22.9 img/s, " in log_line.format_line(record(perf_data={"throughput": 22.9}))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("network:x, batch size:many", "batch size 'many' is not a whole number"),
        ("network:x, device count:", "device count '' is not a whole number"),
        ("network:x, batch size , dataset:y", "field 'batch size' has no colon"),
        ("network:x, time_avg:-nan s", "time_avg '-nan s' is not a finite number"),
        ("network:x, FPS:-3 img/s", "FPS '-3 img/s' is not above 0"),
    ],
)
def test_a_line_that_is_wrong_says_how(line: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        log_line.parse(line)
    assert str(caught.value) == why


def test_every_field_of_a_benchmark_line() -> None:
    line = (
        " Network: m ,eval_exec_mode:val,time_avg:0.5 s/step,time_var:1e-3,time_p95:+.5,without_data_img_s:30 img/s,"
        "legacy_img_s:40,data_share:0.25,accuracy:G_L1 = 2:3,unheard_of:1,nv_web_perf:20 img/s,throughput of it:2.5\n"
    )
    assert log_line.parse(line) == {
        "model": "m",
        "eval_type": "val",
        "perf_data": {
            "latency": 0.5,
            "latency_unit": "s/step",
            "variance": 0.001,
            "step": {"p95_s": "+.5"},
            "throughput_without_data_img_s": 30.0,
            "throughput_without_data_img_s_unit": "img/s",
            "throughput_legacy_img_s": 40.0,
            "data_share": 0.25,
            "throughput": 2.5,
        },
        "metric_data": {"accuracy": "G_L1 = 2:3"},
        "extra": {"NV_Web": "20 img/s"},
    }


def test_a_record_as_a_benchmark_line() -> None:
    perf = {"throughput": 22.94567, "data_share": 0.123456, "throughput_legacy_img_s": 30, "x": 1}
    losses = {"G_GAN": 2.4947512, "D_real": "nan", "all_iterations": {}, "D_fake": 1}
    made = record(perf_data=perf, metric_data=losses, dev="A, B", extra={"Github": "20", "driver": "1.2"})
    assert log_line.format_line(made) == (
        f"network:{made.model}, batch size:{made.batch_size}, device count:{made.dev_num}, dpf mode:{made.dist_type}, "
        f"precision:{made.train_type}, throughput:22.95 img/s, legacy_img_s:30, data_share:0.1235, "
        f"accuracy:G_GAN = 2.49475  D_fake = 1, device:A  B, dataset:{made.dataset}, nv_web_perf:N/A, "
        "github_perf_data:20, driver:1.2"
    )
    bare = record(perf_data=None, metric_data={"G_GAN": 2.5}, extra=None)
    assert ", throughput:N/A, device:" in log_line.format_line(bare)
    assert log_line.format_line(bare).endswith(", nv_web_perf:N/A, github_perf_data:N/A, driver:N/A")


def test_a_run_that_left_nothing_makes_no_record(make_spec: Callable[..., RunSpec]) -> None:
    folder = RunFolder.create(make_spec())
    with pytest.raises(RunFailed) as caught:
        record_of(folder)
    assert str(caught.value) == (
        f"the run left neither measured steps nor a benchmark log line; read {folder.log}; "
        "a run script of your own must append its line to $BENCHMARK_LOG"
    )


def test_a_run_whose_time_was_over_within_its_warm_up_says_so(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec(), steps=4, planned_steps=4, warmup=10)
    assert summarize_folder(folder) is None
    with pytest.raises(RunFailed) as caught:
        record_of(folder)
    assert str(caught.value) == (
        "the run left no measured step: the warm-up took all of its 4; "
        "give it more by --max-time or --steps, or fewer to the warm-up by --warmup"
    )


def test_a_convergence_run_has_means_of_printed_and_all_losses(
    make_spec: Callable[..., RunSpec],
) -> None:
    spec = make_spec(recipe="convergence", settings=["schedule.print_every=3"], steps=12, device_count=2)
    folder = write_run(spec, losses=lambda step: {"G_L1": float(step)}, epoch=lambda step: 1 + (step - 1) // 7)
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write("result.json", asdict(summary))
    # the last epoch has steps 8 to 12, of which 9 and 12 were printed
    assert record_of(folder).metric_data == {"G_L1": 10.5, "all_iterations": {"G_L1": 10.0}}


def test_every_node_is_in_the_record(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec(nodes=2, device_count=2, rdzv="10.0.0.1:29500")
    folder = write_run(spec)
    (folder.nodes / "1").mkdir(parents=True)
    other = RunFolder(folder.nodes / "1")
    (other.path / "spec.json").write_text(spec.replaced(node_rank=1).model_dump_json())
    other.write("host.json", {**HOST, "warnings": ["a warning"], "command_line": "left out"})
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write("result.json", asdict(summary))
    check_golden("record-nodes.json", (record_of(folder).extra or {})["nodes"])


def test_a_run_that_diverged_makes_no_record(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec(), losses=lambda step: {"G_L1": math.nan if step > 5 else 20.0, "D_real": 0.5})
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write("result.json", asdict(summary))
    with pytest.raises(RunFailed) as caught:
        record_of(folder)
    assert str(caught.value) == f"the losses G_L1 became NaN or infinite; the run diverged; read {folder.log}"


def test_every_value_of_a_records_run(make_spec: Callable[..., RunSpec]) -> None:
    """All of a record but its run id, its hash, its spec and further figures, each figure to 6 digits."""
    host = {
        "dataset": {**HOST["dataset"], "source": "drawn", "hashing": "names"},
        "run_script_sha256": "5c219",
        "warnings": ["a warning"],
        "hardware": {**HOST["hardware"], "gpus": ["GPU 9000", "GPU 9000"], "driver": "570.1"},
    }
    spec = make_spec(device_count=2, settings=["speed.channels_last=true"], env={"NAME": "value"})
    folder = write_run(spec, 200, 200, warmup=20, step_s=lambda step: 0.1 + 0.001 * (step * 7 % 5), host=host)
    summary = summarize_folder(folder)
    assert summary is not None
    folder.write("result.json", asdict(summary))
    values = record_of(folder).model_dump()
    written = spec.model_dump(mode="json")
    kept = {key: value for key, value in written.items() if key not in (*OF_ONE_RUN, "slurm", "kubernetes")}
    assert values["extra"].pop("spec") == kept
    assert values["extra"].pop("run_id") == spec.run_id
    for key in ("content_sha256", "record_schema"):
        del values["extra"][key]
    values["perf_data"] = {key: values["perf_data"][key] for key in OF_CNDB}  # the others are the summary's
    check_golden("record.json", values)


def test_a_spec_alone_has_a_record_of_an_unknown_machine(make_spec: Callable[..., RunSpec]) -> None:
    planned = unmeasured_record(make_spec())
    assert (planned.dev, planned.dev_num, planned.train_type) == ("unknown", 1, "FP32")
    assert planned.hard_info == Named(name="unknown", cpu=None, mem=None, dev={})
    assert planned.soft_info == Named(name="host")
    assert {key: (planned.extra or {})[key] for key in ("driver", "warnings", "checks")} == {
        "driver": "N/A",
        "warnings": [],
        "checks": {},
    }


def test_the_record_of_a_failed_run_is_read_by_nothing(make_spec: Callable[..., RunSpec]) -> None:
    failed = failed_record(write_run(make_spec()), "the disk was full")
    assert (failed.extra or {})["failure"] == "the disk was full"
    for values, why in (
        (failed.model_dump(), "it is of a run that failed (the disk was full), and has no figures"),
        (record(perf_data={"x": 1}).model_dump() | {"perf_data": None}, "perf_data or metric_data is needed"),
        (record().model_dump() | {"extra": {"run_id": "a" * 1000}}, "extra.run_id has more than 300 characters"),
    ):
        with pytest.raises(RecordError) as caught:
            checked(values, "R")
        assert str(caught.value) == f"R: {why}; fix it; docs/cndb.md has every key"


@pytest.mark.parametrize(
    ("place", "figure", "why"),
    [
        ("perf_data.throughput", 0.0, "not above 0"),
        ("perf_data.throughput", 1e-9, None),
        ("perf_data.variance", 0.0, None),
        ("perf_data.variance", -1e-9, "below 0"),
        ("perf_data.drift", -1.0, None),
    ],
)
def test_a_figure_that_nothing_can_have(place: str, figure: float, why: str | None) -> None:
    assert impossible(place, figure) == why


@pytest.mark.parametrize("place", ["throughput", "latency", "variance", "step.p95_s"])
def test_a_record_of_such_a_figure_is_refused_at_any_depth(place: str) -> None:
    outer, _, inner = place.partition(".")
    odd = record(perf_data={"other": 1.0, outer: {inner: -0.5} if inner else -0.5})
    with pytest.raises(RecordError) as caught:
        require_possible(odd, "R")
    why = "below 0" if place == "variance" else "not above 0"
    assert str(caught.value) == f"R: perf_data.{place} -0.5 is {why}; fix or remove it"
    for step in (None, 5, {}, {"p95_s": "N/A"}):
        fine = record(perf_data={"throughput": 1.0, "step": step})
        assert require_possible(fine, "R") is fine


def test_a_hash_that_is_none_seals_nothing() -> None:
    assert [seal_of(record(extra=extra)) for extra in (None, {HASH_KEY: 5}, {HASH_KEY: "a"})] == [None, None, "a"]


def said(folder: RunFolder, *lines: str) -> Record:
    folder.benchmark_log.write_text("".join(f"{line}\n" for line in lines))
    return record_of(folder)


def test_what_a_script_says_otherwise_is_in_the_record(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec(batch_size=32))
    host = folder.host().warnings
    own = LINE.replace("V100-PCIE-32GB", said(folder, LINE).dev).replace("facades", "synthetic")
    record = said(folder, own.replace("22.9", "20"), LINE.replace("batch size:32", "batch size:64"))
    assert (record.batch_size, (record.perf_data or {})["throughput"]) == (64, 22.9)
    warnings = (record.extra or {})["warnings"][len(host) :]
    assert warnings[0] == "the run script wrote 2 benchmark log lines: the last one is the result"
    assert "the run script says batch size 64, the launch 32: the record has the script's" in warnings


def test_an_impossible_figure_of_a_script_is_refused(make_spec: Callable[..., RunSpec]) -> None:
    folder = write_run(make_spec())
    for figure in ("-5", "0"):
        with pytest.raises(RunFailed, match=r"throughput '-?[50] img/s' is not above 0; fix the run script"):
            said(folder, LINE.replace("22.9", figure))
