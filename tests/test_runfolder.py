"""The contract between host and worker: what is written is read back, what is broken is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.errors import InfrastructureError, RunFailed
from gbench.runfolder import RunFolder, Step, StepWriter
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
    with StepWriter(folder, 0) as writer:
        writer.append(steps(3))
    assert list(folder.steps(0)) == steps(3)
    assert list(folder.steps(1)) == []


def test_a_stream_is_readable_after_a_crash_at_any_byte(folder: RunFolder) -> None:
    with StepWriter(folder, 0) as writer:
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


def test_the_workers_sentence_reaches_the_host(folder: RunFolder) -> None:
    folder.raise_worker_error()
    folder.write("error.json", {"what": "it broke", "hint": "mend it"})
    with pytest.raises(RunFailed, match="it broke; mend it"):
        folder.raise_worker_error()
