"""A training log in upstream's format: its losses, and the recipe that it states.

Upstream appends to loss_log.txt, each start under a header line; its console prints the options before that.
Source: junyanz/pytorch-CycleGAN-and-pix2pix at 003efc4c, util/visualizer.py; options/base_options.py, `print_options`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gbench.base.files import read_file
from gbench.convergence.curves import LOSSES, Curves
from gbench.errors import InfrastructureError, UsageError
from gbench.runfolder.loss_line import read_loss_line

OPTIONS, END, HEADER = re.compile(r"-+ Options -+"), re.compile(r"-+ End -+"), re.compile(r"=+ Training Loss \(.*\) =+")
OPTION = re.compile(r"\s*(\w+): (.*?)\s*(\[default: .*\])?\s*")
FIELDS = {  # of a recipe, by upstream's name
    "batch_size": "batch_size",
    "n_epochs": "schedule.epochs",
    "n_epochs_decay": "schedule.epochs_decay",
    **{
        name: f"network.{name}"
        for name in ("netG", "netD", "ngf", "ndf", "n_layers_D", "norm", "init_type", "init_gain")
    },
    **{name: f"optim.{name}" for name in ("gan_mode", "lambda_L1", "lr", "beta1", "lr_policy")},
    **{name: f"data.{name}" for name in ("phase", "direction", "preprocess", "load_size", "crop_size")},
}
NEGATED = {"no_dropout": "network.dropout", "no_flip": "data.flip", "serial_batches": "data.shuffle"}


@dataclass(frozen=True)
class TrainingLog:
    curves: Curves
    stated: dict[str, Any]
    """Fields of the recipe that its options state; empty without options, as in loss_log.txt."""
    replaced: int
    """Earlier runs in the same file; the last one started over."""


@dataclass
class _Start:
    """A start of train.py: its options, and its lines as epoch, iters, losses."""

    stated: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[int, int, list[float]]] = field(default_factory=list)


def read_log(path: Path) -> TrainingLog:
    """Read a log. Raises InfrastructureError: it can't be read. UsageError: as `of_lines`."""
    try:
        lines = read_file(path, errors="replace").splitlines()
    except OSError as error:
        raise InfrastructureError(f"{path} can't be read ({error})", "give a log of a training run") from error
    return of_lines(lines, str(path))


def of_lines(lines: Iterable[str], source: str) -> TrainingLog:
    """The printed losses of a log, and its options; ignores other lines. source: names it in errors.

    A later start replaces the epochs from its first one on. It begins with its options or a header; without them, at a
    line that is not behind the last one.

    Raises UsageError: it has no such line, one that lacks a loss, or one whose figures are no numbers.
    """
    starts = _starts(lines, source)
    if not starts:
        raise UsageError(f"{source} holds no line like (epoch: 1, iters: 100, ...) G_GAN: ...", "give a training log")
    kept, replaced = list[_Start](), 0
    for start in starts:
        first = start.rows[0][0]
        for earlier in kept:
            earlier.rows = [row for row in earlier.rows if row[0] < first]
        replaced += sum(not earlier.rows for earlier in kept)
        kept = [*(earlier for earlier in kept if earlier.rows), start]
    rows, stated = [row for start in kept for row in start.rows], dict[str, Any]()
    for start in kept:
        for name, value in start.stated.items():
            before = stated.get(name, value)
            stated[name] = value if before == value else f"{before}, then {value}"
    table = np.array([losses for _, _, losses in rows])
    epochs = np.array([epoch for epoch, _, _ in rows], dtype=np.int64)
    return TrainingLog(Curves(epochs, {name: table[:, place] for place, name in enumerate(LOSSES)}), stated, replaced)


def _starts(lines: Iterable[str], source: str) -> list[_Start]:
    """The starts that printed a line of losses."""
    starts, in_options = [_Start()], False
    for number, line in enumerate(lines, 1):
        if OPTIONS.search(line) or HEADER.search(line):
            in_options = OPTIONS.search(line) is not None
            if starts[-1].rows:
                starts.append(_Start())
        elif END.search(line):
            in_options = False
        elif in_options:
            starts[-1].stated.update(_stated(line))
        elif (row := _row(line, f"{source} line {number}")) is not None:
            if starts[-1].rows and row[:2] <= starts[-1].rows[-1][:2]:
                starts.append(_Start())
            starts[-1].rows.append(row)
    return [start for start in starts if start.rows]


def _row(line: str, place: str) -> tuple[int, int, list[float]] | None:
    try:
        parsed = read_loss_line(line)
        return None if parsed is None else (parsed.epoch, parsed.iters, [parsed.losses[name] for name in LOSSES])
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{place} gives no {', '.join(LOSSES)} ({error})", "give a log of a pix2pix training"
        ) from error


def _stated(line: str) -> dict[str, Any]:
    """The field of the recipe in a line such as `lr: 0.0004    [default: 0.0002]`; empty for any other."""
    match = OPTION.fullmatch(line)
    if match is None:
        return {}
    name, text = match[1], match[2]
    if name in NEGATED:
        return {NEGATED[name]: text != "True"}
    if name not in FIELDS:
        return {}
    try:
        return {FIELDS[name]: float(text) if "." in text or "e" in text.lower() else int(text)}
    except ValueError:
        return {FIELDS[name]: text}
