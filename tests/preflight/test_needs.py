"""Requirements of every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import docker.errors
import pytest

from fake_engine import Engine
from gbench.datasets.manifest import MANIFEST_NAME
from gbench.runfolder.host_facts import CheckFacts

CheckOne = Callable[..., CheckFacts]


def no_engine(**_: object) -> None:
    raise docker.errors.DockerException("Error while fetching server API version: FileNotFoundError(2, 'No such file')")


def free(monkeypatch: pytest.MonkeyPatch, free_gib: dict[str, float]) -> None:
    """Set a disk's free space, by prefix of the path."""

    def usage(path: object) -> SimpleNamespace:
        gib = next(gib for begin, gib in free_gib.items() if str(path).startswith(begin))
        return SimpleNamespace(free=int(gib * 1024**3))

    monkeypatch.setattr("shutil.disk_usage", usage)


def test_no_engine_is_one_error(check_one: CheckOne, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker.from_env", no_engine)
    check = check_one("docker", runner="docker")
    assert check.severity == "error"
    assert "systemctl start docker" in check.fix
    assert check_one("container-toolkit", runner="docker") is None


def test_no_engine_stops_a_run_on_the_cpu_too(check_one: CheckOne, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker.from_env", no_engine)
    assert check_one("docker", runner="docker", device="cpu").severity == "error"
    assert check_one("docker", runner="local", device="cpu") is None


def test_an_engine_with_and_without_gpus(check_one: CheckOne, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker.from_env", Engine)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert check_one("docker", runner="docker").severity == "ok"
    assert check_one("container-toolkit", runner="docker").severity == "error"
    monkeypatch.setattr("docker.from_env", lambda **_: Engine(Runtimes={"nvidia": {}, "runc": {}}))
    assert check_one("container-toolkit", runner="docker").severity == "ok"
    assert check_one("container-toolkit", runner="docker", device="cpu") is None


def test_room_is_wanted_where_it_is_used(check_one: CheckOne, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("docker.from_env", lambda **_: Engine(DockerRootDir=str(tmp_path / "docker")))
    (tmp_path / "docker").mkdir()
    rooms = {str(tmp_path / "docker"): 12.0, str(tmp_path): 10.0}
    free(monkeypatch, rooms)
    assert check_one("disk", runner="local").severity == "ok"
    check = check_one("disk", runner="docker")
    assert check.severity == "warning"
    assert check.found.endswith(f"12.0 GiB free for {tmp_path / 'docker'}, which needs 20 GiB")
    free(monkeypatch, {**rooms, str(tmp_path): 1.0, str(tmp_path / "docker"): 30.0})
    assert check_one("disk", runner="local").severity == "warning"
    free(monkeypatch, {str(tmp_path): 0.04})
    check = check_one("disk", runner="local")
    assert check is not None and check.found.startswith("41.0 MiB free for")


def test_what_a_run_writes_can_be_written(check_one: CheckOne, tmp_path: Path) -> None:
    assert check_one("writing").severity == "ok"
    (tmp_path / "file").write_text("")
    check = check_one("writing", cndb_dir=str(tmp_path / "file"))
    assert (check.severity, f"can't write {tmp_path / 'file' / 'records'}" in check.found) == ("error", True)


def test_a_dataset_without_a_manifest_can_not_be_verified(check_one: CheckOne, facades: Path, tmp_path: Path) -> None:
    assert check_one("dataset").found == f"{facades}: 16 train, 2 val, 4 test, as its manifest says"
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "train").symlink_to(facades / "train")
    check = check_one("dataset", datasets_dir=str(bare))
    assert check.severity == "warning"
    assert MANIFEST_NAME in check.found


def test_all_eight_variables_are_told(check_one: CheckOne) -> None:
    found = check_one("variables").found
    names = ("CONT", "DATASETS", "DATASETS_DIR", "CNDB_DIR", "CODE_LINK", "RUN_MODEL_FILE", "DOCKERFILE", "CONFIG")
    assert [part.partition("=")[0] for part in found.split("; ")] == list(names)
