"""A run that fails has the same exit code in every verb: 1, or 4 where 1 is a verdict (docs/exit-codes.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gbench.errors import ExitCode
from world import MODEL, Place, World

FAILED, NO_VERDICT = ExitCode.FAILED, ExitCode.INFRASTRUCTURE
FAILURE = "the run script ended with exit code 1"


def options(sim: World) -> list[object]:
    """The options of a launch, which follow DATABASE and IGNORE_CHECK."""
    return sim.launch_arguments()[7:]


def write_spec(sim: World, path: Path) -> str:
    settings = {"data.load_size": 36, "data.crop_size": 32, "data.workers": 0, "measure.telemetry_hz": 0}
    values = {"model": MODEL, "batch_size": 4, "device_count": 1, "precision": "FP32", "set": settings, "steps": 12}
    values |= {"warmup": 4, "device": "cpu", "runner": "local", "datasets_dir": str(sim.data), "ignore_check": True}
    path.write_text(yaml.safe_dump(values))
    return path.name


def complete_run(sim: World, place: Place, converge: bool = False) -> Path:
    assert sim.run(place, *sim.launch_arguments(converge=converge)).code == ExitCode.OK
    (folder,) = place.run_folders()
    return folder.path


@pytest.mark.parametrize("verb", ["launch", "converge", "profile", "tune", "ab", "sweep", "calibrate", "eval"])
def test_a_failed_run_is_1(sim: World, verb: str) -> None:
    place, four = sim.new_place(), (MODEL, 4, 1, "FP32")
    checked = ("embedded", "ignore_check")
    if verb == "eval":
        arguments: list[object] = ["eval", complete_run(sim, place, converge=True), "--runner", "local"]
        arguments += ["--datasets-dir", sim.data, "--device", "cpu", "--out", "evaluated"]
    elif verb == "ab":
        arguments = ["ab", write_spec(sim, place.here / "a.yaml"), write_spec(sim, place.here / "b.yaml")]
    elif verb == "sweep":
        sizes = ("--batch-sizes", 4, "--device-counts", 1, "--precisions", "FP32")
        arguments = ["sweep", MODEL, *checked, *sizes, *options(sim)]
    elif verb == "launch":
        arguments = ["launch", *four, *checked, *options(sim)]
    elif verb == "converge":
        arguments = sim.launch_arguments(converge=True)
    elif verb == "tune":
        arguments = ["tune", *four, *options(sim)[:-4]]  # all but the steps
    else:
        arguments = [verb, *four, *options(sim)]
    place.order("evaluation" if verb == "eval" else "warm-up", "crash within a line")
    ended = sim.run(place, *arguments)
    assert ended.code == FAILED, (ended.out, ended.err)
    assert FAILURE in ended.err


@pytest.mark.parametrize("verb", ["nightly", "replay", "converge --check", "cndb verify"])
def test_a_failed_run_is_4_where_1_is_a_verdict(sim: World, verb: str) -> None:
    place = sim.new_place()
    run = complete_run(sim, place, converge=verb == "converge --check")
    record = place.records()[0]
    if verb == "nightly":
        arguments = ["nightly", *sim.launch_arguments()[1:]]
    elif verb == "replay":
        arguments = ["replay", record, "--trust"]
    elif verb == "converge --check":
        made = sim.run(place, "converge", "--add-reference", run, "--out", "own.yaml")
        assert made.code == ExitCode.OK, made.err
        arguments = [*sim.launch_arguments(converge=True), "--check", "--reference", "own.yaml"]
    place.order("warm-up", "crash within a line")
    if verb == "cndb verify":
        sim.run(place, *sim.launch_arguments())
        (failed,) = [folder.path for folder in place.run_folders() if folder.path != run]
        arguments = ["cndb", "verify", record, "--run", failed]
    ended = sim.run(place, *arguments)
    assert ended.code == NO_VERDICT, (ended.out, ended.err)
    assert verb == "cndb verify" or FAILURE in ended.err
