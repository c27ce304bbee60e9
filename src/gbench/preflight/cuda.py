"""Whether the driver and the GPUs can run the CUDA of the image, or of the local torch.

NVIDIA's rule (CUDA Compatibility guide): a driver runs every CUDA up to its own version. From CUDA 11 on it also runs
later minor versions of the same major version, except features that need a newer driver. A later major version needs
forward-compatibility libraries, which an image may contain and which data-centre GPUs accept. CUDA 13 and later have
no code for GPUs before Turing (release notes).
"""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from gbench.errors import InfrastructureError, UsageError
from gbench.preflight.cards import call
from gbench.preflight.rule import Context, Finding
from gbench.preflight.tools import Unreadable
from gbench.runners.engine import connect
from gbench.runners.image import find_image, plan_image
from gbench.settings.spec import RunSpec

FIRST_MAJOR_WITH_MINOR_COMPATIBILITY = 11
FIRST_MAJOR_WITHOUT_VOLTA, TURING = 13, (7, 5)
OLDER_CUDA = "take an image of CUDA 12.6 (the Dockerfile's own is), or install a torch that is built with it"
IN_A_NAME = re.compile(r"\bcu(?:da)?-?(\d{2})\.?(\d)")  # pytorch:2.7.1-cuda12.6-cudnn9, torch:cu126


class Cuda(NamedTuple):
    """A CUDA version, its source, and whether it comes with forward-compatibility libraries."""

    version: tuple[int, int]
    source: str
    forward: bool = False


def driver_cuda(context: Context) -> Finding | None:
    spec = context.run.spec
    if not context.cards or spec is None:
        return None
    number = call(context.cards[0].nvml, "nvmlSystemGetCudaDriverVersion")
    driver = (number // 1000, number % 1000 // 10)
    wanted = local_cuda() if context.run.runner == "local" else image_cuda(spec)
    if wanted is None:
        return Finding("error", "the local torch is built without CUDA", "install a torch that is built with CUDA")
    too_old = [card.gpu for card in context.cards if card.used and card.gpu.compute_capability < TURING]
    if wanted.version[0] >= FIRST_MAJOR_WITHOUT_VOLTA and too_old:
        gpus = ", ".join(f"GPU {gpu.index} ({gpu.name})" for gpu in too_old)
        return Finding("error", f"CUDA {_text(wanted.version)} of {wanted.source} has no code for {gpus}", OLDER_CUDA)
    return compare(wanted, driver)


def compare(wanted: Cuda, driver: tuple[int, int]) -> Finding:
    """Whether a driver of one CUDA version runs a program of another."""
    found = f"CUDA {_text(wanted.version)} of {wanted.source}, driver up to {_text(driver)}"
    if wanted.version <= driver:
        return Finding("ok", found)
    if wanted.version[0] == driver[0] >= FIRST_MAJOR_WITH_MINOR_COMPATIBILITY:
        return Finding("info", f"{found}: runs by minor-version compatibility")
    if wanted.forward:
        return Finding("warning", f"{found}: runs only by the image's forward-compatibility libraries")
    return Finding("error", found)


def local_cuda() -> Cuda | None:
    """The CUDA version that this environment's torch is built with, read without loading torch. None: without CUDA.

    Raises Unreadable: there is no torch, or it does not report it.
    """
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise Unreadable("torch is not installed in this Python environment")
    try:
        text = (Path(torch.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError as error:
        raise Unreadable(f"torch does not report its CUDA version ({error.strerror})") from error
    if re.search(r"^cuda\b.*= *None", text, re.MULTILINE):
        return None
    match = re.search(r"^cuda\b.*= *'(\d{1,4})\.(\d{1,4})", text, re.MULTILINE)
    if match is None:
        raise Unreadable("torch does not report its CUDA version")
    return Cuda((int(match[1]), int(match[2])), "the local torch")


def image_cuda(spec: RunSpec) -> Cuda:
    """The CUDA of the run's image: from the image or its base if they exist, else from the name of the base.

    Raises Unreadable: neither gives it.
    """
    try:
        plan = plan_image(spec.image, Path(spec.dockerfile), spec.from_image)
        names = [name for name in (plan.name, plan.base) if name]
        environments = {name: _environment(name) for name in names}
    except (InfrastructureError, UsageError) as error:
        raise Unreadable(error.what) from error
    for name, environment in environments.items():
        match = re.match(r"(\d{1,4})\.(\d{1,4})", environment.get("CUDA_VERSION", ""))
        if match:
            forward = any("CUDA_COMPAT" in variable for variable in environment)
            return Cuda((int(match[1]), int(match[2])), f"the image {name}", forward)
    for name in names:
        match = IN_A_NAME.search(name)
        if match:
            return Cuda((int(match[1]), int(match[2])), f"the image {name}, by its name")
    raise Unreadable(f"the CUDA version of the image {names[0]} is unknown before it runs")


def _environment(image: str) -> dict[str, str]:
    """The environment variables of an image; none if it does not exist yet."""
    found = find_image(connect(), image)
    variables = found.attrs["Config"]["Env"] if found else None
    return dict(variable.partition("=")[::2] for variable in variables or [])


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
