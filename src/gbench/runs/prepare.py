"""Find what every run needs before it begins: devices, tuned switches, dataset, cache folder, runner.

`prepare` requires all of it. `plan` only describes the run, for `--dry-run`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbench.base.files import is_there, require_writable
from gbench.base.paths import checkout_dir, make_cache_folder
from gbench.base.utc import utc_now
from gbench.datasets.hash_cache import cached_hashes
from gbench.datasets.layout import doubts, find_dataset, phase_images
from gbench.datasets.manifest import MANIFEST_NAME, combine, require_intact
from gbench.errors import GbenchError, InfrastructureError, UsageError
from gbench.machine import provenance
from gbench.machine.gpus import Gpus, find_gpus, require_devices, visible, with_full_uuids
from gbench.runfolder.host_facts import DatasetFacts, GitFacts, HostFacts, HostHardware, RunnerFacts
from gbench.runners.engine import unused_context
from gbench.runners.kubernetes import KubernetesRunner
from gbench.runners.local import LocalRunner
from gbench.runners.plan import Runner
from gbench.runners.slurm import SlurmRunner
from gbench.runs.switch_cache import with_tuned_switches
from gbench.settings.nccl import with_nccl_variables
from gbench.settings.spec import RunSpec

if TYPE_CHECKING:
    from gbench.cndb.upload import Target


# Variables that change the arithmetic or the speed of PyTorch, CUDA, NCCL, Gloo, MKL, OpenMP or malloc.
SWITCHES = re.compile(
    "LD_PRELOAD$|NVIDIA_TF32_OVERRIDE|TORCH_(ALLOW_TF32|BLAS|CUDNN|NCCL)|PYTORCH_|CUDA_(LAUNCH_BLOCKING|DEVICE_MAX)|"
    "CUBLAS|CUDNN_|NCCL_|GLOO_|MKL_|KMP_|GOMP_|MALLOC_|TRITON_"
)


@dataclass(frozen=True)
class Prepared:
    """A run that has all it needs on this machine. Nothing is started yet."""

    spec: RunSpec
    """The spec to run: with the dataset's folder, the tuned switches, and an available data source."""
    gpus: Gpus
    """All GPUs of this machine."""
    runner: Runner
    dataset: DatasetFacts
    warnings: tuple[str, ...]
    git: GitFacts | None
    """Of gbench's checkout."""

    def with_warning(self, text: str | None) -> "Prepared":
        """A copy with one more warning; unchanged for None."""
        return self if text is None else replace(self, warnings=(*self.warnings, text))

    def _hardware(self) -> HostHardware:
        """This machine; of a cluster's job nothing, for its nodes report themselves."""
        if self.spec.on_cluster:
            return HostHardware()
        return HostHardware(**provenance.hardware(visible(self.gpus, self.spec.cuda_visible_devices)))

    def host_facts(self) -> HostFacts:
        """The facts of host.json that are known at the start. Valid after `runner.prepare`."""
        return HostFacts(
            started_utc=utc_now(),
            command_line=self.spec.command_line,
            working_dir=str(Path.cwd()),
            where=RunnerFacts(**self.runner.facts()),
            hardware=self._hardware(),
            dataset=self.dataset,
            run_script_sha256=provenance.file_sha256(Path(self.spec.run_model_file)),
            git=self.git,
            warnings=list(self.warnings),
        )


def prepare(spec: RunSpec, environ: Mapping[str, str], rebuild: bool = False) -> Prepared:
    """Find what a run needs. Starts nothing; creates the cache folder if the run uses one.

    Args:
        environ: the environment that a local run inherits.
        rebuild: build the image without cache.

    Raises GbenchError: a device, a tuning, the dataset or a valid image name is missing.
    """
    gpus = find_gpus()
    spec = with_nccl_variables(for_this_machine(spec, gpus), environ)
    dataset, warnings, no_cache = DatasetFacts(), list[str](), None
    if spec.runner != "kubernetes":  # whose pods find it
        spec = locate_dataset(spec)
        dataset, warnings = dataset_facts(spec)
        spec, no_cache = _with_cache_folder(spec)
    found, checkout = provenance.git(), checkout_dir()
    unknown = f"git can't read {checkout}: the record has no commit" if checkout and not found else None
    git = GitFacts(**found) if found else None
    prepared = Prepared(spec, gpus, make_runner(spec, environ, rebuild), dataset, tuple(warnings), git)
    of_runner = unused_context() if spec.runner == "docker" else _switches_of(spec, environ)
    return prepared.with_warning(no_cache).with_warning(unknown).with_warning(of_runner)


def _switches_of(spec: RunSpec, environ: Mapping[str, str]) -> str | None:
    """A warning that names the variables by which a local run's environment switches libraries; None without any."""
    names = [name for name in sorted(environ) if spec.runner == "local" and SWITCHES.match(name)]
    found = ", ".join(f"{name}={environ[name]}" for name in names if name not in spec.env)
    return f"variables of the environment change what libraries do: {found}" if found else None


def plan(spec: RunSpec, environ: Mapping[str, str], rebuild: bool = False) -> tuple[RunSpec, dict[str, Any]]:
    """Describe what would run: the spec, with the dataset's folder if it exists, and the runner's exact request.

    Raises GbenchError: the database config is missing, or profile optimized has no tuning.
    """
    database_of(spec, environ)
    if spec.profile == "optimized" or spec.cuda_visible_devices is not None:
        spec = with_tuned_switches(with_full_uuids(spec, gpus := find_gpus()), gpus)
    spec = locate_dataset(with_nccl_variables(spec, environ), required=False)
    return spec, make_runner(spec, environ, rebuild).describe()


def database_of(spec: RunSpec, environ: Mapping[str, str]) -> "Target | None":
    """The run's database; None without one. Raises GbenchError: its config is missing or invalid."""
    if spec.database is None:
        return None
    from gbench.cndb.upload import Target, config_of_run

    return Target(config_of_run(spec.database, Path(spec.cndb_dir), environ, spec.db_timeout_s))


def require_possible(spec: RunSpec, environ: Mapping[str, str], rebuild: bool) -> None:
    """Check what a run needs before the first of several begins: a later failure would waste the runs before it.

    Raises GbenchError: as `prepare`; or there is no Docker engine, or the folder for records or logs can't be written.
    """
    if spec.nodes > 1:
        raise UsageError(f"nodes {spec.nodes}: only gbench launch runs on several nodes", "leave it out here")
    prepare(spec, environ, rebuild).runner.describe()
    if spec.runner == "docker":
        from gbench.runners import engine

        engine.connect()
    for folder in (Path(spec.cndb_dir) / "records", Path(spec.logs_dir)):
        require_writable(folder)


def for_this_machine(spec: RunSpec, gpus: Gpus) -> RunSpec:
    """`spec` with the switches tuned for it on this machine. Raises GbenchError: too few devices, or no tuning.

    A cluster's job runs on another one, so there it is unchanged.
    """
    if spec.on_cluster:
        if spec.tuning is not None:
            raise UsageError(
                f"--runner {spec.runner} can't tune: a tuning is of this machine",
                "tune in a job, by --runner local",
            )
        return spec
    require_devices(spec, gpus)
    return with_tuned_switches(with_full_uuids(spec, gpus), gpus)


def make_runner(spec: RunSpec, environ: Mapping[str, str], rebuild: bool) -> Runner:
    if spec.runner == "local":
        return LocalRunner(spec, dict(environ))
    if spec.runner == "slurm":
        return SlurmRunner(spec)
    if spec.runner == "kubernetes":
        if spec.recipe not in ("performance", "custom"):
            raise UsageError("--runner kubernetes is for gbench launch only", "take another --runner")
        return KubernetesRunner(spec)
    from gbench.runners.docker import DockerRunner

    return DockerRunner(spec, rebuild=rebuild)


def locate_dataset(spec: RunSpec, required: bool = True) -> RunSpec:
    """`spec` with the dataset's folder below DATASETS_DIR; unchanged if it is missing and not required.

    Raises GbenchError: it is required but missing.
    """
    try:
        subdir = find_dataset(Path(spec.datasets_dir), spec.dataset, spec.config.data.phase)
    except GbenchError:
        if required:
            raise
        return spec
    return spec.replaced(dataset_subdir=subdir)


def dataset_facts(spec: RunSpec) -> tuple[DatasetFacts, list[str]]:
    """The dataset's identity, verified against its manifest if it has one; and warnings about it."""
    root = Path(spec.datasets_dir) / spec.dataset_subdir
    files, how = cached_hashes(root, Path(spec.cache_dir), spec.rehash)
    facts = DatasetFacts(root=str(root), sha256=combine(files), hashing=how, source=None)
    warnings = [*doubts(root, spec.config.data.phase), *_uncombined(root, spec.config.data.phase)]
    if not is_there(root / MANIFEST_NAME):
        warning = f"{root} has no {MANIFEST_NAME}: its files were hashed for the record, but verified against nothing"
        return facts, [warning, *warnings]
    manifest = require_intact(root, files)
    if manifest.name != spec.dataset:
        warnings.insert(0, f"DATASETS is {spec.dataset!r}, but {root} says of itself that it is {manifest.name}")
    return facts.changed(source=manifest.source), warnings


def _uncombined(root: Path, phase: str) -> Iterator[str]:
    """A doubt if the first image of a phase does not look like two pictures side by side."""
    from gbench.datasets.decode import image_size  # loads Pillow, which few commands need

    first = phase_images(root, phase)[0]
    with suppress(InfrastructureError):  # the worker says so
        width, height = image_size(first)
        if width <= height:
            halves = f"its halves are {width // 2}x{height}"
            yield f"{first} is {width}x{height} pixels, so {halves}: a pair is A and B side by side in one image"


def _with_cache_folder(spec: RunSpec) -> tuple[RunSpec, str | None]:
    """Create the cache folder if the run uses it. If it can't be, a run falls back to --data real with a warning.

    The folder must exist, and belong to the caller, before a container mounts it.
    """
    compiled = spec.runner == "docker" and spec.compiles
    if not (spec.config.data.uses_cache or compiled):
        return spec, None
    try:
        make_cache_folder(Path(spec.cache_dir))
    except InfrastructureError as error:
        if compiled:
            raise
        warning = f"--data {spec.config.data.source} is unavailable: {error}; the run takes --data real"
        return spec.replaced(config={"data": {"source": "real"}}), warning
    return spec, None
