"""Each difference between this machine and a record."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from drawn_records import PLAIN
from gbench import __version__
from gbench.cndb.record import checked
from gbench.datasets.synth import DRAWING_VERSION
from gbench.experiments.can_reproduce import Mismatch, mismatches
from gbench.experiments.recorded_spec import Recorded
from gbench.machine import host, provenance
from gbench.machine.gpus import Gpu, Gpus
from gbench.runs.prepare import dataset_facts, locate_dataset
from gbench.settings.spec import RunSpec

A_CARD = Gpus((Gpu(0, "Tesla V100-PCIE-32GB", "GPU-0", (7, 0)),), driver="550.1")


@pytest.fixture
def as_here(make_spec: Callable[..., RunSpec]) -> Callable[..., tuple[Recorded, RunSpec]]:
    """A record that matches this machine, with one A_CARD, and a test's changes."""

    def make(
        extra: dict[str, Any] | None = None,
        soft: dict[str, Any] | None = None,
        hard: dict[str, Any] | None = None,
        **asked: Any,
    ) -> tuple[Recorded, RunSpec]:
        spec = make_spec(**asked)
        software = {
            "name": "host",
            "gbench_version": __version__,
            "python_version": platform.python_version(),
            "pytorch_version": metadata.version("torch") + "+cu130",
            "torchvision_version": metadata.version("torchvision"),
        }
        hardware = {
            "name": host.os_name(),
            "cpu": host.cpu_facts(),
            "dev": {"Tesla V100-PCIE-32GB": 1} if spec.device == "cuda" else {},
        }
        said = {
            "run_id": "R1",
            "dataset_sha256": dataset_facts(locate_dataset(spec))[0].sha256,
            "run_script_sha256": provenance.file_sha256(Path(spec.run_model_file)),
            "driver": "550.1",
            "kernel": platform.release(),
            "git": {"commit": (provenance.git() or {}).get("commit"), "dirty": False},
        }
        values = {
            **PLAIN,
            "soft_info": {**software, **(soft or {})},
            "hard_info": {**hardware, **(hard or {})},
            "extra": {**said, **(extra or {})},
        }
        return Recorded("record.yaml", checked(values, "a drawn record"), spec), spec

    return make


def told(recorded: Recorded, spec: RunSpec, gpus: Gpus = A_CARD) -> dict[str, Mismatch]:
    found = {one.field: one for one in mismatches(recorded, spec, gpus)}
    found.pop("uncommitted changes", None)  # of whoever is at work on this checkout
    return found


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_nothing_is_told_where_all_is_alike(as_here: Any, device: str) -> None:
    assert told(*as_here(device=device)) == {}


@pytest.mark.parametrize(
    ("changes", "field", "refused"),
    [
        ({"extra": {"dataset_sha256": "c0ffee"}}, "dataset_sha256", True),
        ({"extra": {"run_script_sha256": "c0ffee"}}, "run_script", False),
        ({"extra": {"driver": "535.2"}}, "driver", False),
        ({"extra": {"kernel": "3.0"}}, "kernel", False),
        ({"extra": {"git": {"commit": "0123", "dirty": False}}}, "gbench's commit", False),
        ({"extra": {"resumed_utc": ["2026-01-01T00:00:00Z"]}}, "attempts", False),
        ({"soft": {"pytorch_version": "1.0+cpu"}}, "pytorch", False),
        ({"soft": {"python_version": "3.0"}}, "python", False),
        ({"soft": {"gbench_version": "0.0.1"}}, "gbench", False),
        ({"hard": {"name": "Drawn OS 1"}}, "operating system", False),
        ({"hard": {"cpu": {"name": "Drawn CPU"}}}, "device", True),
        ({"hard": {"cpu": {"threads": 999}}}, "hardware threads", False),
        ({"hard": {"dev": {"A100": 8}}, "device": "cuda"}, "device", True),
        ({"until_ci": 0.01, "max_time_s": 60.0}, "number of steps", False),
        ({"max_time_s": 60.0}, "number of steps", False),
    ],
)
def test_each_thing_is_told(as_here: Any, changes: dict[str, Any], field: str, refused: bool) -> None:
    found = told(*as_here(**changes))
    assert list(found) == [field]
    assert found[field].refused is refused
    assert found[field].then != found[field].here


@pytest.mark.parametrize(("source", "note"), [(1, True), (DRAWING_VERSION, False), (None, False)])
def test_the_drawing_version_a_record_needs(as_here: Any, source: int | None, note: bool) -> None:
    drawn = f"gbench data synth: drawing {source}, size 256, seed 0" if source else None
    found = told(*as_here(extra={"dataset_sha256": "c0ffee", "dataset_source": drawn}))["dataset_sha256"]
    assert (
        f"the record needs drawing 1 of `gbench data synth`, this gbench draws {DRAWING_VERSION}" in str(found)
    ) is note
    assert told(*as_here(extra={"dataset_source": drawn})) == {}  # the dataset is here, whoever drew it


@pytest.mark.parametrize(
    ("times", "said"), [(["t"], "resumed once"), (["t", "u"], "resumed 2 times"), ([], None), (3, None), (None, None)]
)
def test_how_often_a_run_was_resumed(as_here: Any, times: Any, said: str | None) -> None:
    found = told(*as_here(extra={"resumed_utc": times})).get("attempts")
    assert (found and found.then) == said


def test_changes_that_no_commit_holds_are_told(as_here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    git = {"commit": "0123", "dirty": True}
    monkeypatch.setattr(provenance, "git", lambda: {"commit": "0123", "dirty": False})
    recorded, spec = as_here(extra={"git": git})
    assert [str(one) for one in mismatches(recorded, spec, A_CARD)] == [
        "uncommitted changes: some in the record, none here"
    ]


def test_fewer_cards_and_none(as_here: Any) -> None:
    recorded, spec = as_here(device="cuda", device_count=2)
    assert list(told(recorded, spec)) == ["device_count"]
    none = told(recorded, spec, Gpus(missing="no driver"))
    assert none["device"].here == "none (no driver)"
    assert (none["device_count"].then, none["device_count"].here, none["driver"].here) == ("2", "0", "N/A")


def test_a_local_run_uses_other_versions_and_an_image_its_own(as_here: Any) -> None:
    assert told(*as_here(soft={"pytorch_version": "1.0"}, runner="docker")) == {}


def test_another_runner_and_other_cards_shown(as_here: Any) -> None:
    recorded, spec = as_here(device="cuda")
    spec = spec.model_copy(update={"cuda_visible_devices": "0"})
    shown = Recorded(recorded.source, recorded.record, spec.model_copy(update={"cuda_visible_devices": "1"}))
    assert list(told(shown, spec)) == ["CUDA_VISIBLE_DEVICES"]
    assert list(told(recorded, spec.model_copy(update={"runner": "docker"}))) == ["runner"]


def test_what_would_be_refused_comes_first(as_here: Any) -> None:
    found = told(*as_here(extra={"run_script_sha256": "c0ffee"}, hard={"cpu": {"name": "Drawn CPU"}}))
    assert list(found) == ["device", "run_script"]


def test_an_own_run_script_is_the_work(as_here: Any) -> None:
    recorded, spec = as_here(extra={"run_script_sha256": "c0ffee"})
    custom = spec.model_copy(update={"recipe": "custom"})
    assert told(recorded, custom)["run_script"].refused
