"""The key of a machine: stable, published instead of the machine id, and none where there is no id."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.machine import machine_key as module
from gbench.machine.gpus import find_gpus
from gbench.machine.provenance import hardware

ID = "0123456789abcdef0123456789abcdef"


def key_with(monkeypatch: pytest.MonkeyPatch, *files: Path) -> str | None:
    monkeypatch.setattr(module, "ID_FILES", files)
    return module.machine_key()


def test_the_key_comes_from_the_machine_id_but_hides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text(f"{ID}\n")
    (tmp_path / "other").write_text(ID[::-1])
    key = key_with(monkeypatch, tmp_path / "one")
    assert key == key_with(monkeypatch, tmp_path / "missing", tmp_path / "one")
    assert key is not None
    assert (len(key), key in ID) == (16, False)
    assert key != key_with(monkeypatch, tmp_path / "other")


@pytest.mark.parametrize("content", [b"", b"uninitialized\n", b"\xff" * 32])
def test_a_machine_without_an_id_has_no_key(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "id").write_bytes(content)
    assert key_with(monkeypatch, tmp_path / "id", tmp_path) is None


def test_hardware_facts_hold_host_name_key_and_gpus() -> None:
    machine = hardware(find_gpus())["machine"]
    assert (machine["host_name"], machine["key"]) == (module.host_name(), module.machine_key())
    assert len(machine["gpus"]) == len(find_gpus().devices)
