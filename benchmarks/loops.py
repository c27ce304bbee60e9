"""The training loops of gbench and of upstream's train.py, which pause at each log line: a part of step.py.

Each loop is as it runs: loading, the step, a log line every `schedule.print_every` steps. Only the random numbers of
dropout are set before the first step, and the standard output is one that waits for questions.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from one_rank import alone
from rows import Row
from served import Block, Counts, ask, blocks_of, page_faults, process_of
from torch import nn
from torch.utils.data import DataLoader

from gbench.datasets.synth import synth
from gbench.errors import RunFailed
from gbench.pix2pix.nets import determinism
from gbench.pix2pix.step import precision
from gbench.pix2pix.trainer import Trainer
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.loss_line import read_loss_line
from gbench.runfolder.steps import StepWriter
from gbench.settings.request import Request
from gbench.settings.resolve import resolve
from gbench.settings.spec import RunSpec
from gbench.upstream import command, watch
from gbench.upstream.source import Pinned, find_code

MODEL, DATASET = "pix2pix_resnet_9blocks", "drawn"
WEIGHTS = 0  # a question


class Turns(io.TextIOBase):
    """A standard output that waits for a question at each log line of a step, the block's last.

    It sends the losses of the first line. To a number of steps, those of a block, it answers with what they took, to
    WEIGHTS with their hash, and None ends the loop.
    """

    def __init__(self, pipe: Connection, networks: Sequence[nn.Module] = ()) -> None:
        self.pipe, self.networks = pipe, networks
        self.steps, self.start = 0, Block.now()

    def write(self, text: str) -> int:
        line = read_loss_line(text)
        if line is not None:
            end = Block.now()
            self.pipe.send(end.since(self.start, self.steps) if self.steps else line.losses)
            self.wait()
        return len(text)

    def wait(self) -> None:
        """Answer until a block is asked for. Raises AllSteps: None will be."""
        while not (steps := self.pipe.recv()):
            if steps is None:
                raise watch.AllSteps
            self.pipe.send(weights_hash(self.networks))
        self.steps, self.start = steps, Block.now()


class UpstreamTurns(Turns):
    """That of train.py: seeds its dropout, and finds its networks in the frame that prints."""

    def __init__(self, pipe: Connection, seed: int) -> None:
        super().__init__(pipe)
        self.seed = seed

    def write(self, text: str) -> int:
        if text.startswith("learning rate"):  # the last line before an epoch's first batch
            model: Any = next(frame.f_globals["model"] for frame in callers() if "model" in frame.f_globals)
            self.networks = model.netG, model.netD
            determinism.seed_noise(self.seed, 0)
        return super().write(text)


def callers() -> Iterator[Any]:
    """The frames of this thread, the innermost first."""
    frame: Any = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def weights_hash(networks: Sequence[nn.Module]) -> str:
    """Of all weights and buffers, bit by bit."""
    found = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def serve_ours(pipe: Connection, spec: RunSpec, data_dir: Path, threads: int) -> None:
    """The training loop of gbench."""
    torch.set_num_threads(threads)
    with suppress(watch.AllSteps), alone(spec.device) as ranks:
        folder = RunFolder.create(spec)
        trainer = Trainer(spec, folder, data_dir, ranks)
        iter(DataLoader([0]))  # draws what upstream's loader draws
        turns = Turns(pipe, (trainer.model.generator, trainer.model.discriminator))
        with StepWriter(folder.path, 0) as writer, redirect_stdout(turns):
            trainer.run_epoch(writer)


def serve_upstream(pipe: Connection, spec: RunSpec, data_dir: Path, threads: int, code: Path) -> None:
    """The training loop of upstream's train.py."""
    torch.set_num_threads(threads)
    words = command.arguments(spec, data_dir, Path(spec.results_dir))
    precision.set_precision(spec.precision, torch.device(spec.device))
    torch.manual_seed(spec.seed)
    lines = f"{spec.schedule.print_every * spec.batch_size}"  # images
    with redirect_stdout(UpstreamTurns(pipe, spec.seed)):
        watch.run(code / "train.py", [*words, "--print_freq", lines], spec.schedule.max_steps or 0)


def upstreams_code(folder: Path) -> Path:
    """The clone that UPSTREAM_DIR names, else a new one in the folder. Raises as `find_code`."""
    asked = Request(MODEL, 1, 1, "FP32", datasets_dir=str(folder), code_link=os.environ.get("CODE_LINK"))
    pinned, clone = Pinned.of(resolve(asked, {}).spec.code_link), os.environ.get("UPSTREAM_DIR")
    return find_code(pinned, clone, folder, folder, partial(print, file=sys.stderr)).folder


def require_equal(what: str, ours: object, theirs: object) -> None:
    """Raises RunFailed: they differ."""
    if ours != theirs:
        message = f"the {what} of both loops differ after the same steps: ours {ours}, upstream's {theirs}"
        raise RunFailed(message, "look for code that changes the training, in this Python or in the clone")


class Size(NamedTuple):
    """Of the images, the networks and a batch."""

    side: int
    filters: int
    batch: int


def compare(size: Size, pairs: int, steps: int, threads: int, code: Path) -> tuple[Row, Counts]:
    """The processor time of a step in both loops, and their page faults.

    Raises RunFailed: the first losses differ, or the weights at the end.
    """
    side, filters, batch = size
    count = (pairs + 4) * steps  # a block whose losses are compared, two of warm-up, one for train.py to be stopped in
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synth(folder / DATASET, {"train": count * batch}, size=side)
        request = Request(
            MODEL,
            batch,
            1,
            "FP32",
            device="cpu",
            runner="local",
            steps=count,
            warmup=0,
            settings=(
                *(f"data.load_size={side}", f"data.crop_size={side}", f"network.ngf={filters}"),
                *(f"network.ndf={filters}", "data.flip=false", "data.shuffle=false", "data.workers=0"),
                f"schedule.print_every={steps}",
            ),
            datasets_dir=name,
            dataset=DATASET,
            results_dir=f"{name}/results",
        )
        given = resolve(request, {}).spec, folder / DATASET, threads
        with process_of(serve_ours, *given) as ours, process_of(serve_upstream, *given, code) as theirs:
            pipes = {"ours": ours, "upstream": theirs}
            require_equal("losses", *(pipe.recv() for pipe in pipes.values()))
            found = blocks_of(pipes, pairs, steps)
            require_equal("weights", *(ask(pipe, WEIGHTS) for pipe in pipes.values()))
    what = f"training loop, batch {batch}, {side} pixels, {filters} filters, FP32, processor time of a step"
    times = ([1e3 * block.cpu_s for block in each] for each in found.values())
    row = Row.of(what, "upstream's train.py", "ms", *times)._replace(ratio_goal=1 / 1.03 if side < 256 else 1.0)
    return row, {"page faults": page_faults(found)}
