"""`gbench profile` as a user runs it, on few and small feature maps."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer, two_cores, two_ranks

from gbench.errors import InfrastructureError, RunFailed
from gbench.measure.summary import summarize_folder
from gbench.reports.run_data import RunData
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import StepProfile, read_profile

Gbench = Callable[..., Answer]
MODEL = "pix2pix_resnet_6blocks"


def the_profile(answer: Answer) -> tuple[StepProfile, RunFolder]:
    assert answer.code == 0, answer.err
    folder = RunFolder(Path(answer.json["paths"]["profile"]).parent)
    found = read_profile(folder)
    assert found is not None and found.model_dump() == answer.json["profile"]
    return found, folder


def trace_names(path: Path) -> Counter[str]:
    with gzip.open(path, "rt") as file:
        return Counter(row["name"] for row in json.load(file)["traceEvents"] if row["ph"] == "X")


def test_a_profile_lays_out_the_whole_step_and_makes_no_record(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cndb").touch()  # where a record's folder would be
    answer = gbench("profile", MODEL, 4, 1, "FP32", *small_launch, "--warmup", 6, "--steps", 3, "--json")
    found, folder = the_profile(answer)
    assert (found.steps, found.warmup_steps, found.device_count, found.on_gpu) == (3, 6, 1, False)
    steps = folder.steps(0)
    assert len(steps) == 9
    assert found.step_s == pytest.approx(sum(step.step_s for step in steps[6:]) / 3)  # the clock's, not the trace's
    assert found.bare_step_s is not None

    parts = found.data_s + found.between_s + found.operators_s + found.exposed_s + found.gaps_s
    assert parts == pytest.approx(found.step_s, rel=0.1)  # between the clock's marks and the trace's are some calls
    assert sum(one.self_s for one in found.operators) == pytest.approx(found.operators_s, rel=1e-3)
    computing = sum(part.operators_s + part.gaps_s for part in found.parts)
    assert computing == pytest.approx(found.operators_s + found.exposed_s + found.gaps_s, rel=1e-3)
    names = {part.name for part in found.parts}
    assert names >= {f"{net} {way}" for net in ("generator", "discriminator") for way in ("forward", "backward")}
    optimizer_s = sum(part.operators_s + part.gaps_s for part in found.parts if part.name == "optimizer")
    assert 0 < optimizer_s < found.step_s and found.gaps_s > 0

    # every convolution that was counted is in the trace, backward ones too
    environment = folder.read("environment.json")
    assert environment is not None and found.flop == 4 * environment["work_per_image"]["flop"]
    assert sum(one.flop or 0 for one in found.operators) == found.flop
    (backward,) = [one for one in found.operators if one.name == "aten::convolution_backward"]
    assert backward.flop is not None and 0.5 < backward.flop / found.flop < 0.75

    seen = trace_names(folder.path / "trace-rank0.json.gz")
    assert [name for name in sorted(seen) if name.startswith("ProfilerStep#")] == [
        f"ProfilerStep#{n}" for n in (6, 7, 8)
    ]
    assert seen["gbench: generator"] == 3 and seen["gbench: discriminator"] == 9  # D runs three times a step

    assert (tmp_path / "cndb").read_text() == "" and not (folder.path / "result.json").exists()
    no_measurement = "is a profile: what it took is no measurement"
    refused = gbench("compare", folder.path, folder.path)
    assert (refused.code, no_measurement in refused.err) == (2, True)
    for read in (summarize_folder, RunData.read):
        with pytest.raises(RunFailed, match=no_measurement):
            read(folder)


@two_ranks
@two_cores
def test_two_ranks_are_profiled_with_their_communication(gbench: Gbench, small_launch: list[str]) -> None:
    arguments = ["--warmup", 2, "--steps", 2]
    found, folder = the_profile(gbench("profile", MODEL, 4, 2, "FP32", *small_launch, *arguments, "--json"))
    assert found.device_count == 2 and found.traces == ["trace-rank0.json.gz", "trace-rank1.json.gz"]
    for name in found.traces:
        assert trace_names(folder.path / name)["gloo:all_reduce"] >= 4  # G's and D's gradients, in each of two steps
    assert 0 < found.communication_s < found.step_s
    assert 0 <= found.exposed_s <= found.communication_s
    assert found.bare_step_s is None  # too few steps for a median


def test_the_table_for_a_person(gbench: Gbench, small_launch: list[str]) -> None:
    few = ["--warmup", 1, "--steps", 1, "--top", 3, "-q", "--set", "speed.channels_last=true"]
    answer = gbench("profile", MODEL, 4, 1, "FP32", *small_launch, *few)
    assert answer.code == 0 and answer.err == "", answer.err
    head, table = answer.out.split("\n\n")
    assert "speed         custom: channels_last=true" in head.splitlines()
    assert "under the profiler; no measurement" in head and "the training thread is outside any operator" in head
    assert len(table.splitlines()) == 5 and table.splitlines()[-1].split()[1] == "others"
    assert table.splitlines()[0].split() == ["operator", "self", "s", "share", "calls", "FLOP", "TFLOP/s"]


def test_a_dry_run_starts_nothing(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    plan = gbench("profile", MODEL, 4, 1, "FP32", *small_launch, "--steps", 7, "--dry-run", "--json").json
    assert plan["spec"]["recipe"] == "profile" and plan["spec"]["profiling"] == {"steps": 7}
    schedule = plan["spec"]["config"]["schedule"]
    assert schedule["max_steps"] == schedule["warmup_steps"] + 7
    assert plan["origins"]["schedule.max_steps"] == "profile"
    assert list(tmp_path.iterdir()) == []


def test_a_run_script_that_profiles_nothing_is_told(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    script = tmp_path / "own.sh"
    script.write_text("echo training\n")
    answer = gbench("profile", MODEL, 4, 1, "FP32", *small_launch, "--run-model-file", script)
    assert answer.code == 1
    assert "the run left no profile in" in answer.err and f"RUN_MODEL_FILE {script} must start" in answer.err


def test_a_broken_profile_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_profile(folder) is None
    folder.write("profile.json", {"model": "pix2pix"})
    with pytest.raises(InfrastructureError, match=r"profile\.json is broken \(batch_size: field required\)"):
        read_profile(folder)
