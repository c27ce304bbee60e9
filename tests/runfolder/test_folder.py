"""The contract between host and worker: files are read as written, and errors name what is broken."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gbench.errors import InfrastructureError
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def folder(make_spec: MakeSpec) -> RunFolder:
    return RunFolder.create(make_spec())


def steps(count: int) -> list[Step]:
    return [Step(n, 1, 2, 0.01 * n, 0.1 * n, 9.0 + n, 0.05, n == 1, {"G_L1": 30.5}) for n in range(1, count + 1)]


def test_spec_goes_round(make_spec: MakeSpec) -> None:
    spec = make_spec()
    assert RunFolder.create(spec).spec() == spec


def test_a_folder_is_never_taken_twice(make_spec: MakeSpec) -> None:
    spec = make_spec()
    RunFolder.create(spec)
    with pytest.raises(InfrastructureError, match="File exists"):
        RunFolder.create(spec)


def test_steps_go_round(folder: RunFolder) -> None:
    with StepWriter(folder.path, 0) as writer:
        writer.append(steps(3))
    assert list(folder.steps(0)) == steps(3)
    assert list(folder.steps(1)) == []


def test_a_stream_is_readable_after_a_crash_at_any_byte(folder: RunFolder) -> None:
    with StepWriter(folder.path, 0) as writer:
        writer.append(steps(3))
    path = folder.path / "steps-rank0.jsonl"
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        complete = whole[:end].count(b"\n")
        assert list(folder.steps(0)) == steps(max(0, complete - 1))


def test_a_broken_line_in_the_middle_is_named(folder: RunFolder) -> None:
    path = folder.path / "steps-rank0.jsonl"
    path.write_text('{"version": 1, "rank": 0}\n{"step": 1}\n')
    with pytest.raises(InfrastructureError, match=r"steps-rank0\.jsonl line 2"):
        list(folder.steps(0))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step_s": None}, "step_s: input should be a valid number"),
        ({"step_s": "quick"}, "step_s: input should be a valid number"),
        ({"step_s": float("nan")}, "step_s: input should be a finite number"),
        ({"step_s": 0.0}, "step_s: input should be greater than 0"),
        ({"data_s": 1.0}, "data_s and between_s: 1.0 and 0.0 are no parts of"),
        ({"end_s": float("inf")}, "end_s: input should be a finite number"),
        ({"images": 0}, "images: input should be greater than 0"),
        ({"losses": {"G_L1": "low"}}, "losses.G_L1: input should be a valid number"),
        ({"losses": None}, "losses: input should be a valid dictionary"),
        ({"pace": 1}, "pace: unexpected keyword argument"),
        ({"step": 3}, "step 3 where step 2 should be"),
    ],
)
def test_a_step_that_can_not_be_is_named(folder: RunFolder, changes: dict[str, Any], why: str) -> None:
    first, second = (vars(step) for step in steps(2))
    lines = [{"version": 1, "rank": 0}, first, {**second, **changes}, vars(steps(3)[2])]
    (folder.path / "steps-rank0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InfrastructureError, match=rf"steps-rank0\.jsonl line 3 is broken \({re.escape(why)}"):
        list(folder.steps(0))


def test_losses_have_the_same_names_in_every_step_and_rank(make_spec: MakeSpec) -> None:
    folder = RunFolder.create(make_spec(device_count=2))
    other = dataclasses.replace(steps(2)[1], losses={"G_L2": 30.5})
    for rank, stream in enumerate((steps(2), [steps(1)[0], other])):
        with StepWriter(folder.path, rank) as writer:
            writer.append(stream)
    with pytest.raises(InfrastructureError, match=r"steps-rank1\.jsonl step 2 is broken \(other losses"):
        folder.ranks()


def test_what_is_not_finite_is_null_for_every_reader(folder: RunFolder) -> None:
    diverged = dataclasses.replace(steps(1)[0], losses={"G_L1": math.inf, "D_real": math.nan, "D_fake": 0.5})
    with StepWriter(folder.path, 0) as writer:
        writer.append([diverged])
    folder.write("result.json", {"losses": diverged.losses, "memory": [math.nan], "interval": (1.0, -math.inf)})
    for path in (folder.path / "steps-rank0.jsonl", folder.path / "result.json"):
        assert not re.search("NaN|Infinity", path.read_text())
    result = folder.read("result.json")
    assert result is not None
    assert result["losses"] == {"G_L1": None, "D_real": None, "D_fake": 0.5}
    assert (result["memory"], result["interval"]) == ([None], [1.0, None])
    (read,) = folder.steps(0)
    assert read.losses == pytest.approx({"G_L1": math.nan, "D_real": math.nan, "D_fake": 0.5}, nan_ok=True)


def test_another_version_is_refused(folder: RunFolder) -> None:
    (folder.path / "host.json").write_text('{"version": 99}')
    with pytest.raises(InfrastructureError, match="not of version 1"):
        folder.read("host.json")
    spec = json.loads((folder.path / "spec.json").read_text())
    (folder.path / "spec.json").write_text(json.dumps({**spec, "spec_version": 99}))
    with pytest.raises(InfrastructureError, match=r"spec\.json"):
        folder.spec()


def test_what_is_no_run_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"has no spec\.json"):
        RunFolder(tmp_path).spec()
