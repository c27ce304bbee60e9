"""What the host does for any run: choose its runner, find its dataset, note the facts, say why it failed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from gbench.base.files import make_folder
from gbench.base.utc import utc_now
from gbench.datasets.layout import find_dataset
from gbench.datasets.manifest import MANIFEST_NAME, dataset_hash, require_intact
from gbench.errors import ExitCode, GbenchError, InfrastructureError, OutOfMemory, RunFailed
from gbench.machine import provenance
from gbench.machine.gpus import Gpus, visible
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.host_facts import DatasetFacts, GitFacts, HostFacts, HostHardware, RunnerFacts
from gbench.runfolder.log import RunLog
from gbench.runners.local import LocalRunner
from gbench.runners.plan import Outcome, Runner
from gbench.settings.spec import RunSpec

KILLED = 128 + signal.SIGKILL  # exit code of a shell, or a container, whose command was


class Watcher(Protocol):
    """Someone who looks on."""

    def line(self, text: str) -> None:
        """A line of progress."""

    def running(self, folder: RunFolder) -> AbstractContextManager[None]:
        """Entered while the run is under way in its folder."""


def make_runner(spec: RunSpec, environ: Mapping[str, str], rebuild: bool) -> Runner:
    """The runner that the spec names."""
    if spec.runner == "local":
        return LocalRunner(spec, dict(environ))
    from gbench.runners.docker import DockerRunner

    return DockerRunner(spec, rebuild=rebuild)


def locate_dataset(spec: RunSpec, required: bool = True) -> RunSpec:
    """`spec` with the dataset's place below DATASETS_DIR; unchanged where it is not required and not there.

    Raises:
        GbenchError: it is required, and missing.
    """
    try:
        subdir = find_dataset(Path(spec.datasets_dir), spec.dataset, spec.config.data.phase)
    except GbenchError:
        if required:
            raise
        return spec
    return spec.model_copy(update={"dataset_subdir": subdir})


def dataset_facts(spec: RunSpec) -> tuple[DatasetFacts, list[str]]:
    """The dataset's identity, checked against its manifest where it has one; and what is to be said about it."""
    root = Path(spec.datasets_dir) / spec.dataset_subdir
    if not (root / MANIFEST_NAME).exists():
        warning = f"{root} has no {MANIFEST_NAME}: its files were hashed for the record, but verified against nothing"
        return DatasetFacts(root=str(root), sha256=dataset_hash(root), source=None), [warning]
    manifest = require_intact(root)
    facts = DatasetFacts(root=str(root), sha256=manifest.dataset_sha256, source=manifest.source)
    if manifest.name == spec.dataset:
        return facts, []
    return facts, [f"DATASETS is {spec.dataset}, but {root} says of itself that it is {manifest.name}"]


def with_cache_folder(spec: RunSpec, warnings: list[str]) -> RunSpec:
    """`spec`, its folder of decoded pairs made where it takes one; decoding in the run, with a warning, where it can't.

    The folder must be there, and be the caller's, before a container mounts it.
    """
    if not spec.config.data.uses_cache:
        return spec
    try:
        make_folder(Path(spec.cache_dir))
    except InfrastructureError as error:
        source = spec.config.data.source
        warnings.append(f"--data {source} is not to be had: {error.what}; the run takes --data real")
        data = spec.config.data.model_copy(update={"source": "real"})
        return spec.model_copy(update={"config": spec.config.model_copy(update={"data": data})})
    return spec


def host_facts(spec: RunSpec, gpus: Gpus, runner: Runner, dataset: DatasetFacts, warnings: list[str]) -> HostFacts:
    """The facts of host.json that are known at the start."""
    return HostFacts(
        started_utc=utc_now(),
        command_line=spec.command_line,
        working_dir=str(Path.cwd()),
        where=RunnerFacts(**runner.facts()),
        hardware=HostHardware(**provenance.hardware(visible(gpus, spec.cuda_visible_devices))),
        dataset=dataset,
        run_script_sha256=provenance.file_sha256(Path(spec.run_model_file)),
        git=GitFacts(**found) if (found := provenance.git()) else None,
        warnings=warnings,
    )


def oom_kills() -> int | None:
    """Processes that the kernel of this machine has killed for want of memory so far; None where it doesn't say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def require_success(folder: RunFolder, outcome: Outcome, log: RunLog, oom_kills_before: int | None) -> None:
    """Raise the sentence for a run script that ended badly.

    Args:
        log: of the run. oom_kills_before: `oom_kills` when it began.

    Raises:
        OutOfMemory: for want of memory, as its worker or the kernel says.
        UsageError, InfrastructureError: as its worker says. RunFailed: for another reason.
    """
    if outcome.exit_code == ExitCode.OK:
        return
    if (error := read_error(folder)) is not None:
        raise error.to_raise()
    if outcome.out_of_memory:
        raise OutOfMemory("the container ran out of memory and was killed", f"take a smaller batch; see {folder.log}")
    if log.killed or outcome.exit_code == KILLED:
        if oom_kills_before is not None and (oom_kills() or 0) > oom_kills_before:
            raise OutOfMemory(
                "the kernel killed a process of the run for want of memory",
                f"take a smaller batch or fewer devices; see {folder.log}",
            )
        raise RunFailed(
            "a process of the run was killed (SIGKILL): perhaps for want of memory, though not by the kernel",
            f"see who ends processes here, a scheduler, systemd-oomd, earlyoom or a person; read {folder.log}",
        )
    why = f" ({log.reason})" if log.reason else ""
    raise RunFailed(f"the run script ended with exit code {outcome.exit_code}{why}", f"read {folder.log}")
