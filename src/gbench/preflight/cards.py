"""NVML, the NVIDIA driver's own library, one tolerant read at a time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from gbench.machine.gpus import Gpu, Gpus, open_nvml
from gbench.preflight.tools import Unreadable


@dataclass(frozen=True)
class Card:
    """One GPU with its NVML handle. used: the run will use it."""

    nvml: Any
    handle: Any
    gpu: Gpu
    used: bool

    def read(self, function: str, *arguments: Any) -> Any:
        """The result of an NVML function for this card.

        Raises Unreadable: this card, driver or version of nvidia-ml-py does not report it.
        """
        return call(self.nvml, function, self.handle, *arguments)

    def maybe(self, function: str, *arguments: Any) -> Any:
        """Like read; None if it is not reported."""
        try:
            return self.read(function, *arguments)
        except Unreadable:
            return None

    def smi(self, *arguments: object) -> tuple[str, ...]:
        """An nvidia-smi command for this card only."""
        return ("nvidia-smi", "-i", str(self.gpu.index), *map(str, arguments))


def call(nvml: Any, function: str, *arguments: Any) -> Any:
    """The result of one NVML function. Raises Unreadable: there is none."""
    if not hasattr(nvml, function):
        raise Unreadable("not reported by this version of nvidia-ml-py")
    try:
        return getattr(nvml, function)(*arguments)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
            raise Unreadable("not supported here") from error
        raise Unreadable(f"not reported ({error})") from error
    except Exception as error:  # nvidia-ml-py's own, such as for a driver that is older than it
        raise Unreadable("not reported by this driver") from error


@contextmanager
def open_cards(gpus: Gpus, device_count: int | None) -> Iterator[tuple[Card, ...]]:
    """Every GPU of the host, with NVML open; none if NVML fails.

    device_count: how many of the visible GPUs the run uses, from the first. None: all.
    """
    import pynvml

    with ExitStack() as stack:
        cards: tuple[Card, ...] = ()
        with suppress(pynvml.NVMLError):
            if not gpus.missing:
                cards = tuple(_cards(stack.enter_context(open_nvml()), gpus, gpus.devices[:device_count]))
        yield cards


def _cards(nvml: Any, gpus: Gpus, used: tuple[Gpu, ...]) -> Iterator[Card]:
    for gpu in (*gpus.devices, *gpus.hidden):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(gpu.index)
        except nvml.NVMLError:  # it fell off the bus after it was listed
            continue
        yield Card(nvml, handle, gpu, gpu in used)
