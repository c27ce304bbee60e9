"""Choosing a checkpoint, and reading its spec without torch."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gbench.errors import UsageError
from gbench.pix2pix import checkpoint
from gbench.runfolder.checkpoints import choose, spec_in
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import RunSpec


@pytest.fixture
def run(make_spec: Callable[..., RunSpec]) -> RunFolder:
    folder = RunFolder.create(make_spec())
    for name in ("epoch-0005.pt", "epoch-0010.pt", "epoch-0012-part.pt"):
        checkpoint.save({"spec": folder.spec().model_dump(), "weights": torch.ones(3)}, folder.checkpoints / name)
    return folder


def test_the_newest_the_best_or_that_of_an_epoch(run: RunFolder) -> None:
    assert choose(run) == (run.checkpoints / "epoch-0012-part.pt", None)
    assert choose(run, epoch=5) == (run.checkpoints / "epoch-0005.pt", None)
    with pytest.raises(UsageError, match=r"no checkpoint of epoch 7.*take one of 5, 10$"):
        choose(run, epoch=7)
    with pytest.raises(UsageError, match=r"no best\.json that can be read"):
        choose(run, best=True)
    (run.checkpoints / "best.json").write_text('{"epoch": 5, "G_L1": 1.5}')
    assert choose(run, best=True) == (run.checkpoints / "best_net_G.pth", 5)


def test_a_run_without_checkpoints_says_so(make_spec: Callable[..., RunSpec]) -> None:
    with pytest.raises(UsageError, match="has no checkpoint"):
        choose(RunFolder.create(make_spec()))


def test_a_checkpoint_tells_its_spec_without_torch(run: RunFolder) -> None:
    path = run.checkpoints / "epoch-0010.pt"
    assert spec_in(path) == run.spec()
    code = (
        "import sys; from pathlib import Path; from gbench.runfolder.checkpoints import spec_in;"
        f"print(spec_in(Path({str(path)!r})).run_id, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == f"{run.spec().run_id} False\n"


def test_a_plain_state_dict_tells_none_and_no_code_is_run(run: RunFolder, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("code ran",))

    plain = tmp_path / "latest_net_G.pth"
    torch.save({"model.1.weight": torch.ones(2)}, plain)
    legacy = tmp_path / "legacy.pth"
    torch.save({"model.1.weight": torch.ones(2)}, legacy, _use_new_zipfile_serialization=False)
    evil = tmp_path / "evil.pt"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"spec": Evil()}))
    for path in (plain, legacy, evil):
        assert spec_in(path) is None
