"""A folder that somebody else's gbench began runs what it names only with the user's consent."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Answer

from gbench.experiments.session import Session, SessionGoal, read_session
from gbench.experiments.sweep_file import Sweep, SweepFolder
from gbench.runfolder.own import is_own
from gbench.settings.slurm_config import SlurmConfig
from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere"}


def a_run(spec: RunSpec, results: Path) -> tuple[str, Path]:
    spec = spec.replaced(recipe="convergence", config={"schedule": {"checkpoint_every": 1}})
    return "converge", write_run(spec, steps=5, ended=False).path / "spec.json"


def a_sweep(spec: RunSpec, results: Path) -> tuple[str, Path]:
    folder = SweepFolder(results / "sweep")
    cells = [{"place": {"batch_size": 1, "device_count": 1, "precision": "FP32", "data": "real"}}]
    folder.create(Sweep.model_validate({"scaling": "strong", "stop_at_oom": False, "spec": spec, "cells": cells}))
    return "sweep", folder.file


def a_session(spec: RunSpec, results: Path) -> tuple[str, Path]:
    both = {"files": {"A": "a", "B": "b"}, "specs": {"A": spec, "B": spec}}
    rest = {"session_id": "s", "started_utc": "", "command_line": "", "differences": ()}
    session = Session.model_validate({"asked": SessionGoal(), **both, **rest})
    session.create(results / "session", session.specs.values())
    return "ab", results / "session" / "ab.json"


@pytest.fixture(params=[a_run, a_sweep, a_session])
def begun(request: pytest.FixtureRequest, make_spec: Callable[..., RunSpec], tmp_path: Path) -> tuple[str, Path]:
    """The verb that resumes a folder, which fails without Docker; and the file that says what runs."""
    made: tuple[str, Path] = request.param(make_spec(runner="docker"), tmp_path / "results")
    return made


def test_ones_own_is_resumed_also_elsewhere(gbench: Gbench, begun: tuple[str, Path], tmp_path: Path) -> None:
    verb, file = begun
    moved = shutil.copytree(file.parent, tmp_path / "moved")
    for folder in (file.parent, moved):
        answer = gbench(verb, "--resume", folder, **NO_DOCKER)
        assert answer.code != 2 and "consent" not in answer.err, answer.err


def altered(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    assert '"env": {}' in text
    file.write_text(text.replace('"env": {}', f'"env": {{"BASH_ENV": "$(touch {tmp_path}/executed)"}}'))


def test_a_strangers_needs_consent(gbench: Gbench, begun: tuple[str, Path], tmp_path: Path) -> None:
    verb, file = begun
    altered(file, tmp_path)
    for _ in range(2):
        refused = gbench(verb, "--resume", file.parent, **NO_DOCKER)
        assert refused.code == 2
        assert refused.err.endswith(
            f"{file.parent} is not marked as begun by you, so what it runs needs your consent; "
            "read the lines above, then give --trust\n"
        )
        assert f"environment   'BASH_ENV=$(touch {tmp_path}/executed)'\n" in refused.err
    for more in (["--trust"], []):  # once is enough
        assert gbench(verb, "--resume", file.parent, *more, **NO_DOCKER).code in (1, 4)
    assert not (tmp_path / "executed").exists()


def test_where_the_record_goes_and_what_the_job_asks_is_shown(
    gbench: Gbench, make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    spec = make_spec(runner="slurm", recipe="convergence", database="gpu-demo")
    run = write_run(spec.replaced(config={"schedule": {"checkpoint_every": 1}}), steps=5, ended=False)
    own = run.spec()
    assert is_own(run.path, [own])
    job = SlurmConfig(sbatch=("--prolog=/tmp/x",))
    (run.path / "spec.json").write_text(own.replaced(slurm=job).model_dump_json())
    refused = gbench("converge", "--resume", run.path)
    assert refused.code == 2 and "then give --trust" in refused.err
    assert "job           sbatch ('--prolog=/tmp/x',)\n" in refused.err
    assert f"writes        {own.results_dir}, {own.logs_dir}, {own.cndb_dir}\n" in refused.err
    assert "record to     the database gpu-demo\n" in refused.err


@pytest.mark.parametrize(
    "changes", [{"env": {"BASH_ENV": "x"}}, {"image": f"a@sha256:{'0' * 64}"}, {"from_image": "a"}]
)
def test_a_strangers_run_is_evaluated_with_consent(
    gbench: Gbench, make_spec: Callable[..., RunSpec], changes: dict[str, object]
) -> None:
    run = write_run(make_spec(runner="docker"))
    run.checkpoints.mkdir()
    (run.checkpoints / "epoch-0001.pt").touch()
    evaluate = ("eval", run.path)
    assert gbench(*evaluate, **NO_DOCKER).code == 4
    (run.path / "spec.json").write_text(run.spec().replaced(**changes).model_dump_json())
    refused = gbench(*evaluate, **NO_DOCKER)
    assert (refused.code, "then give --trust" in refused.err) == (2, True)
    assert gbench(*evaluate, "--trust", **NO_DOCKER).code == 4
    (run.path / "spec.json").write_text(run.spec().replaced(env={}, image="gbench", from_image=None).model_dump_json())
    (run.path / ".own").unlink()
    assert gbench(*evaluate, **NO_DOCKER).code == 4  # it runs the project's own code alone


def test_only_a_new_folder_is_marked(make_spec: Callable[..., RunSpec], tmp_path: Path) -> None:
    for make in (a_sweep, a_session):
        folder = make(make_spec(), tmp_path / "results")[1].parent
        (folder / ".own").unlink()
        if make is a_sweep:
            SweepFolder(folder).write(SweepFolder(folder).read())
        else:
            read_session(folder).write(folder)
        assert not (folder / ".own").exists()


@pytest.mark.parametrize("mark", [b"", b"\xff", b"0" * 64, None])
def test_a_mark_of_another_user(gbench: Gbench, begun: tuple[str, Path], mark: bytes | None) -> None:
    verb, file = begun
    if mark is None:
        (file.parent / ".own").unlink()
    else:
        (file.parent / ".own").write_bytes(mark)
    assert "consent" in gbench(verb, "--resume", file.parent, **NO_DOCKER).err


def test_another_users_key(gbench: Gbench, begun: tuple[str, Path], tmp_path: Path) -> None:
    verb, file = begun
    assert "consent" in gbench(verb, "--resume", file.parent, **NO_DOCKER, XDG_CACHE_HOME=str(tmp_path / "cache")).err
    key = tmp_path / "cache" / "gbench" / "key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)


@pytest.mark.parametrize(("typed", "asked_again"), [("y\n", False), ("\n", True)])
def test_on_a_terminal_it_asks(
    gbench: Gbench,
    begun: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    asked_again: bool,
) -> None:
    verb, file = begun
    altered(file, tmp_path)
    monkeypatch.setattr(sys, "stdin", keyboard := io.StringIO(typed))
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    assert "run it [y/N]" in gbench(verb, "--resume", file.parent, **NO_DOCKER).err
    assert ("run it [y/N]" in gbench(verb, "--resume", file.parent, **NO_DOCKER).err) is asked_again
