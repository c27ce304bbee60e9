"""Sample images, written by a separate thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gbench.errors import InfrastructureError
from gbench.pix2pix.images import ImageWriter
from gbench.pix2pix.ranks.group import Ranks
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import VISUALS, RunFolder
from gbench.settings.spec import RunSpec


def test_images_are_written_as_they_were_handed_over(tmp_path: Path) -> None:
    writer, folder = ImageWriter(RunFolder(tmp_path)), RunFolder(tmp_path)
    batches = [torch.full((2, 3, 8, 8), level) for level in (-1.0, 0.0, 1.0)]
    batches[1][0, 0, 0, 0] = float("nan")
    for epoch in (1, 2):
        writer.save(epoch, *batches)
    for batch in batches:
        batch.fill_(0.5)  # the training continues to use the same memory
    writer.wait()
    for epoch in (1, 2):
        pixels = [np.asarray(Image.open(folder.image(epoch, name))) for name in VISUALS]
        assert [image[4, 4].tolist() for image in pixels] == [[0] * 3, [127] * 3, [255] * 3]
        assert pixels[1][0, 0].tolist() == [0, 127, 127]  # what is no number is black
    assert len(list(folder.images.iterdir())) == 6


def test_a_disk_that_refuses_is_told_at_the_next_image_or_wait(tmp_path: Path) -> None:
    (tmp_path / "images").touch()  # no folder can be made there
    writer, batch = ImageWriter(RunFolder(tmp_path)), torch.zeros(1, 3, 8, 8)
    for next_call in (writer.wait, lambda: writer.save(2, batch, batch, batch)):
        writer.save(1, batch, batch, batch)
        with pytest.raises(InfrastructureError, match=r"can't write .*epoch001_real_A\.png"):
            next_call()
        writer.wait()  # reported only once


@pytest.mark.parametrize("checkpoint_every", [0, 1])
def test_it_ends_the_run_before_its_checkpoint(
    make_spec: Callable[..., RunSpec], facades: Path, ranks: Ranks, checkpoint_every: int
) -> None:
    settings = ("schedule.images_every=1", f"schedule.checkpoint_every={checkpoint_every}")
    spec = make_spec(steps=4, settings=settings)
    folder = RunFolder.create(spec)
    folder.images.touch()
    with pytest.raises(InfrastructureError, match=r"can't write .*epoch001_real_A\.png"):
        Trainer(spec, folder, facades, ranks).run()
    assert len(folder.steps(0)) == 4  # what was done is written down
    assert not folder.checkpoints.exists() and "ended" not in (folder.read("environment.json") or {})
