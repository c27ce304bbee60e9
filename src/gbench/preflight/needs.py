"""What every run needs: resolved values, Docker or torch, a GPU, a dataset; and free disk space."""

from importlib import metadata
from pathlib import Path

from gbench.base.cpu_list import ranges
from gbench.base.files import free_bytes, is_there, require_writable
from gbench.base.size import GIB, size_text
from gbench.datasets.layout import find_dataset, phases_in
from gbench.datasets.manifest import MANIFEST_NAME, require_intact
from gbench.errors import InfrastructureError
from gbench.machine.gpus import HIDDEN_HINT
from gbench.preflight.rule import Context, Finding, worst
from gbench.runners.engine import connect, docker_status, engine_info, gpu_container_status

LEAST_IMAGE_GIB = 20.0  # an image with CUDA and torch takes 6 to 10 GiB, and its build the same again
LEAST_RUNS_GIB = 8.0  # a convergence run keeps 40 checkpoints of 170 MB


def variables(context: Context) -> Finding:
    """launch.sh's eight variables, as a launch would resolve them."""
    if context.run.unresolved is not None:
        raise context.run.unresolved
    origins = context.run.origins
    texts = [
        f"{name}={value}" + (f" ({origins[name]})" if name in origins else "")
        for name, value in context.spec.variables.items()
    ]
    return Finding("ok", "; ".join(texts))


def docker(context: Context) -> Finding:
    return Finding("ok", docker_status())


def container_toolkit(context: Context) -> Finding | None:
    return Finding("ok", gpu_container_status()) if _docker_folder() else None


def torch(context: Context) -> Finding:
    try:
        return Finding("ok", f"torch {metadata.version('torch')} in this Python environment")
    except metadata.PackageNotFoundError:
        return Finding("error", "torch is not installed in this Python environment")


def gpu(context: Context) -> Finding:
    if context.gpus.missing:
        return Finding("error", context.gpus.missing, HIDDEN_HINT if context.gpus.hidden else context.gpus.remedy)
    names = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in context.gpus.devices)
    hidden = ranges(gpu.index for gpu in context.gpus.hidden)
    hides = f"; not used: {hidden}" if hidden else ""
    return Finding("ok", f"{names}{hides}; driver {context.gpus.driver}")


def dataset(context: Context) -> Finding:
    datasets_dir, name = Path(context.spec.datasets_dir), context.spec.dataset
    phase = next(iter(phases_in(datasets_dir / name) or phases_in(datasets_dir)), "train")
    root = datasets_dir / find_dataset(datasets_dir, name, phase)
    if not is_there(root / MANIFEST_NAME):
        return Finding("warning", f"{root} has no {MANIFEST_NAME} to verify it against")
    manifest = require_intact(root)
    counts = ", ".join(f"{count} {phase}" for phase, count in manifest.counts.items())
    return Finding("ok", f"{root}: {counts}, as its manifest says")


def writing(context: Context) -> Finding:
    spec = context.spec
    folders = [Path(spec.results_dir), Path(spec.logs_dir), Path(spec.cndb_dir) / "records"]
    for folder in folders:
        require_writable(folder)
    return Finding("ok", f"{', '.join(map(str, folders))} can be written")


def disk(context: Context) -> Finding:
    needs = {Path(context.spec.results_dir): LEAST_RUNS_GIB}
    if context.run.runner == "docker" and (images := _docker_folder()):
        needs[images] = LEAST_IMAGE_GIB
    findings = [_room(folder, least_gib) for folder, least_gib in needs.items()]
    return Finding(worst(finding.severity for finding in findings), "; ".join(finding.found for finding in findings))


def _docker_folder() -> Path | None:
    """Where the engine keeps its images; None if it does not answer, which is an error of another check."""
    try:
        folder = engine_info(connect()).get("DockerRootDir")
    except InfrastructureError:
        return None
    return Path(folder) if folder else None


def _room(folder: Path, least_gib: float) -> Finding:
    try:
        free = free_bytes(folder)
    except OSError as error:
        return Finding("info", f"can't read the free space for {folder} ({error.strerror})")
    enough = free >= least_gib * GIB
    need = "" if enough else f", which needs {least_gib:.0f} GiB"
    return Finding("ok" if enough else "warning", f"{size_text(free)} free for {folder}{need}")
