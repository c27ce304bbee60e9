"""The folder of pipes through which NCCL's flight records are asked for, and what killed runs have left of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.base.files import locked
from gbench.pix2pix.ranks.flight_records import BUFFER, FILE, FORMER_NAMES, LOCK, PIPE, PIPES, flight_records_on_request
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in (BUFFER, FILE, PIPE, *FORMER_NAMES.values()):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def folder_of(make_spec: MakeSpec, device: str) -> RunFolder:
    return RunFolder.create(make_spec().model_copy(update={"device": device}))


def test_a_run_on_cpus_makes_no_folder(make_spec: MakeSpec, place: Path) -> None:
    with flight_records_on_request(folder_of(make_spec, "cpu")):
        assert list(place.iterdir()) == [] and PIPE not in os.environ


def test_what_killed_runs_have_left_is_removed(make_spec: MakeSpec, place: Path) -> None:
    left, used, new, other = (place / name for name in (f"{PIPES}left", f"{PIPES}used", f"{PIPES}new", "other"))
    for one in (left, used, new, other):
        one.mkdir()
        os.mkfifo(one / "rank0.pipe")
        (one / LOCK).touch()
        if one != new:
            os.utime(one, (0, 0))
    with locked(used / LOCK, 0, "used"), flight_records_on_request(folder_of(make_spec, "cuda")):
        [own] = set(place.iterdir()) - {used, new, other}
        assert os.environ[PIPE] == f"{own}/rank" and own != left
    assert set(place.iterdir()) == {used, new, other}
