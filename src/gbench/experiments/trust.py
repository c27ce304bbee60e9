"""What a record would run on this machine: it may come from a stranger, so it is shown and confirmed first."""

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from gbench.base.paths import project_file
from gbench.cndb.record import Record
from gbench.compare.metrics import at
from gbench.compare.sides import read_run
from gbench.errors import GbenchError
from gbench.experiments.recorded_spec import Recorded
from gbench.machine.provenance import file_sha256
from gbench.runfolder.find import run_folders
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.own import is_own
from gbench.settings.defaults import folder_of
from gbench.settings.spec import RunSpec

EXECUTED = re.compile(  # variables whose value a shell, loader, interpreter or compiler executes, or finds code by
    "BASH.*|ENV|SHELLOPTS|PS[0-9]|IFS|HOME|CC|CXX|CUDAHOSTCXX|MPLBACKEND|EDITOR|PAGER|XDG_.*|.*(PATH|DIR|FLAGS)"
    "|(LD|DYLD|PYTHON|GCONV|GLIBC|MALLOC|GIT|PERL|TRITON|TORCH|OPENSSL)_?.*"
    "|.*_(PLUGIN|PRELOAD|INJECTION[0-9]*|CMD|COMMAND|ARGS|OPTIONS|LIB|LIBRARY|LIBRARIES|CONF|CONFIG|CONF_FILE)",
    re.IGNORECASE,
)


def executed(variables: dict[str, str]) -> dict[str, str]:
    """The variables that are never taken from a record: their values may be commands, or paths of code."""
    return {name: value for name, value in variables.items() if EXECUTED.fullmatch(name)}


def is_projects(script: Path) -> bool:
    """Whether a run script has the contents of one of the project's."""
    sha256 = file_sha256(script)
    return sha256 is not None and sha256 in {file_sha256(own) for own in project_file("scripts").glob("*.sh")}


def runs_own_code(spec: RunSpec) -> bool:
    """Whether a spec runs the project's code alone: no variables, and nobody else's script or image."""
    pinned = "@" in spec.image or spec.image.startswith("sha256:") or spec.from_image is not None
    dockerfiles = {file_sha256(Path(spec.dockerfile)), file_sha256(project_file("Dockerfile"))}
    image = spec.runner == "docker" and (pinned or len(dockerfiles) > 1)
    return not (spec.env or image) and is_projects(Path(spec.run_model_file))


def why_ask(recorded: Recorded, spec: RunSpec, script_given: bool) -> str | None:
    """Why the user must confirm what `spec`, a replay of the record, runs here; None if this user began that run.

    script_given: the user has named the run script.
    """
    script = Path(spec.run_model_file)
    changed = file_sha256(script) != recorded.extra("run_script_sha256")
    if not _begun_here(recorded, Path(spec.results_dir)):
        return f"{recorded.source} is of no run that is marked as begun by you"
    if changed and not script_given and not is_projects(script):
        return f"the run script {script} is not the one that {recorded.source} was made with"
    return None


def what_runs(spec: RunSpec) -> list[str]:
    """What the spec of a record runs here, one thing a line."""
    script = Path(spec.run_model_file)
    whose = "the project's own" if is_projects(script) else f"SHA-256 {file_sha256(script)}"
    variables = shlex.join(f"{name}={value}" for name, value in sorted(spec.env.items()))
    where = ", on the host's network" if spec.network == "host" else ""
    where = ", on this host as this user" if spec.runner == "local" else where
    lines = [
        f"runner        {spec.runner}{where}",
        f"run script    {script} ({whose})",
        f"environment   {variables or 'nothing'}",
    ]
    if spec.runner == "docker":
        lines += [
            f"image         {spec.image}" + (f", from {spec.from_image}" if spec.from_image else ""),
            f"Dockerfile    {spec.dockerfile}",
        ]
    if spec.cluster is not None:
        asked = spec.cluster.model_dump(exclude_defaults=True)
        lines.append(f"job           {', '.join(f'{name} {value}' for name, value in asked.items()) or 'no options'}")
    upload = [f"record to     the database {spec.database}"] if spec.database else []
    reads = f"{'mounts' if spec.runner == 'docker' else 'reads':<14}{spec.datasets_dir}, {spec.config_dir}"
    return [*lines, reads, f"writes        {spec.results_dir}, {spec.logs_dir}, {spec.cndb_dir}", *upload]


def _begun_here(recorded: Recorded, results_dir: Path) -> bool:
    """Whether the run's folder is given or in the folder of results, is this user's, and ran what the record says.

    A record alone proves nothing: anybody can compute its hash, and a CNDB folder may have come with it.
    """
    if recorded.folder:
        return is_own(recorded.folder.path, [recorded.spec])
    places = dict.fromkeys(place.absolute() for place in (folder_of("results_dir", os.environ), results_dir))
    found = {path.name: path for place in places for path in run_folders(place)}
    folder = found.get(recorded.record.run_id or "")
    with suppress(GbenchError):
        if folder is not None and is_own(folder, [RunFolder(folder).spec()]):
            return _what_ran(read_run(folder).record) == _what_ran(recorded.record)
    return False


def _what_ran(record: Record) -> tuple[Any, ...]:
    return record.soft_info, *(at(record.extra, key) for key in ("spec", "run_script_sha256"))
