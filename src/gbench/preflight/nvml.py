"""NVML, the NVIDIA driver's own library, one tolerant read at a time; and one finding out of many cards'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gbench.preflight.check import Finding, Look, Unreadable, worst
from gbench.preflight.devices import Gpu, Gpus
from gbench.ranges import ranges


@dataclass(frozen=True)
class Card:
    """One GPU with its NVML handle. used: the run will run on it."""

    nvml: Any
    handle: Any
    gpu: Gpu
    used: bool

    def read(self, function: str, *arguments: Any) -> Any:
        """What NVML's `function` says of this card.

        Raises:
            Unreadable: this card, driver or version of nvidia-ml-py does not tell.
        """
        return call(self.nvml, function, self.handle, *arguments)

    def maybe(self, function: str, *arguments: Any) -> Any:
        """Like read; None for what is not told."""
        try:
            return self.read(function, *arguments)
        except Unreadable:
            return None

    def smi(self, *arguments: object) -> tuple[str, ...]:
        """An nvidia-smi command for this card alone."""
        return ("nvidia-smi", "-i", str(self.gpu.index), *map(str, arguments))


def call(nvml: Any, function: str, *arguments: Any) -> Any:
    """The result of one NVML function.

    Raises:
        Unreadable: it gave none.
    """
    if not hasattr(nvml, function):
        raise Unreadable("not told by this version of nvidia-ml-py")
    try:
        return getattr(nvml, function)(*arguments)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            raise Unreadable("not supported here") from error
        raise Unreadable(f"not told ({error})") from error


@contextmanager
def open_cards(gpus: Gpus, device_count: int | None) -> Iterator[tuple[Card, ...]]:
    """Every GPU of the host, with NVML open; none where NVML fails. device_count: the first so many that the run may
    use are used."""
    import pynvml

    if gpus.missing:
        yield ()
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield ()
        return
    try:
        yield tuple(_cards(pynvml, gpus, gpus.devices[:device_count]))
    finally:
        pynvml.nvmlShutdown()


def _cards(nvml: Any, gpus: Gpus, used: tuple[Gpu, ...]) -> Iterator[Card]:
    for gpu in (*gpus.devices, *gpus.hidden):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(gpu.index)
        except nvml.NVMLError:  # it fell off the bus since it was listed: `gpu` counts what is left
            continue
        yield Card(nvml, handle, gpu, gpu in used)


def of_each(probe: Callable[[Card, Look], Finding]) -> Callable[[Look], Finding | None]:
    """A probe of all the cards of the run, out of a probe of one: cards that say the same share one text."""

    def all_of_them(look: Look) -> Finding | None:
        cards = [card for card in look.cards if card.used]
        return merge([(card.gpu.index, _probe_one(probe, card, look)) for card in cards]) if cards else None

    return all_of_them


def _probe_one(probe: Callable[[Card, Look], Finding], card: Card, look: Look) -> Finding:
    try:
        return probe(card, look)
    except Unreadable as reason:
        return Finding("info", str(reason))


def merge(findings: list[tuple[int, Finding]]) -> Finding:
    """One finding out of (GPU index, finding) pairs: the worst severity, all texts, all commands."""
    indices: dict[str, list[int]] = {}
    for index, finding in findings:
        indices.setdefault(finding.found, []).append(index)
    return Finding(
        worst(finding.severity for _, finding in findings),
        "; ".join(f"GPU {ranges(sorted(of))}: {text}" for text, of in indices.items()),
        "; ".join(dict.fromkeys(finding.mend for _, finding in findings if finding.mend)),
        tuple(command for _, finding in findings for command in finding.commands),
    )
