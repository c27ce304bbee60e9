"""Checkpoints: complete or missing, plain values only, upstream's keys."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from gbench.errors import InfrastructureError
from gbench.pix2pix import checkpoint

CPU = torch.device("cpu")


def test_values_go_round(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "epoch-0001.pt"
    checkpoint.save({"epoch": 1, "weights": {"a": torch.arange(3)}}, path)
    loaded = checkpoint.load(path)
    assert loaded["epoch"] == 1
    assert torch.equal(loaded["weights"]["a"], torch.arange(3))
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_a_save_that_fails_leaves_the_one_before_whole(tmp_path: Path) -> None:
    path = tmp_path / "epoch-0001.pt"
    checkpoint.save({"epoch": 1}, path)

    class Unwritable:
        def __reduce__(self) -> str:
            raise OSError(28, "No space left on device")

    with pytest.raises(InfrastructureError, match="No space left on device"):
        checkpoint.save({"epoch": 2, "bad": Unwritable()}, path)
    assert checkpoint.load(path) == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_code_is_never_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("code ran",))

    path = tmp_path / "evil.pt"
    torch.save({"x": Evil()}, path)
    with pytest.raises(InfrastructureError, match="can be loaded"):
        checkpoint.load(path)
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(InfrastructureError, match="can be loaded"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"])
def test_what_is_no_checkpoint_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InfrastructureError, match=r"x\.pt"):
        checkpoint.load(path)


def test_a_web_page_in_place_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    path.write_text("<!DOCTYPE html><html>404</html>")
    with pytest.raises(InfrastructureError, match=r"latest_net_G\.pth is not a checkpoint .*\(it is a web page: "):
        checkpoint.load(path)


def test_the_random_state_goes_on_where_it_was() -> None:
    torch.manual_seed(3)
    state = checkpoint.random_state(CPU)
    first = torch.randn(5)
    checkpoint.set_random_state(state, CPU)
    assert torch.equal(torch.randn(5), first)
