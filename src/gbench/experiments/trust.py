"""What a record would run on this machine: it may come from a stranger, so it is shown and confirmed first."""

import re
import shlex
from pathlib import Path

from gbench.base.paths import project_file
from gbench.cndb.identity import seal_holds
from gbench.cndb.record_file import read_record, records_of
from gbench.experiments.recorded_spec import Recorded
from gbench.machine.provenance import file_sha256
from gbench.settings.spec import RunSpec

EXECUTED = re.compile(  # variables whose value a shell, loader, interpreter or compiler executes, or finds code by
    "BASH.*|ENV|SHELLOPTS|PS[0-9]|IFS|PATH|HOME|TMPDIR|(LD|DYLD|PYTHON|GCONV|GLIBC|MALLOC|GIT|PERL|TRITON|TORCH)_?.*"
    "|.*_(PATH|DIR|PLUGIN|PRELOAD|INJECTION[0-9]*|CMD|COMMAND|ARGS)|CUDA_.*_PATH|CC|CXX|CFLAGS|CUDAHOSTCXX|XDG_.*",
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
    """Why the user must confirm what `spec`, a replay of the record, runs here; None if this machine made the record.

    script_given: the user has named the run script.
    """
    script = Path(spec.run_model_file)
    changed = file_sha256(script) != recorded.extra("run_script_sha256")
    if not _made_here(recorded, Path(spec.cndb_dir)):
        return f"{recorded.source} is no unchanged record of this machine's CNDB folder, {spec.cndb_dir}"
    if changed and not script_given and not is_projects(script):
        return f"the run script {script} is not the one that {recorded.source} was made with"
    return None


def what_runs(spec: RunSpec) -> list[str]:
    """What the spec of a record runs here, one thing a line."""
    script = Path(spec.run_model_file)
    whose = "the project's own" if is_projects(script) else f"SHA-256 {file_sha256(script)}"
    variables = shlex.join(f"{name}={value}" for name, value in sorted(spec.env.items()))
    lines = [
        f"runner        {spec.runner}" + (", on this host as this user" if spec.runner == "local" else ""),
        f"run script    {script} ({whose})",
        f"environment   {variables or 'nothing'}",
    ]
    if spec.runner == "docker":
        lines += [
            f"image         {spec.image}" + (f", from {spec.from_image}" if spec.from_image else ""),
            f"Dockerfile    {spec.dockerfile}",
        ]
    return [*lines, f"{'mounts' if spec.runner == 'docker' else 'reads':<14}{spec.datasets_dir}, {spec.config_dir}"]


def _made_here(recorded: Recorded, cndb_dir: Path) -> bool:
    """Whether the record, or the one of a run folder, is in the CNDB folder's records and its hash holds."""
    source, records = Path(recorded.source), (cndb_dir / "records").resolve()
    own = records_of(cndb_dir, recorded.spec.run_id) if source.is_dir() else [source]
    inside = (read_record(path) for path in own if path.is_file() and path.resolve().is_relative_to(records))
    return any(seal_holds(one) and (one.extra or {}).get("spec") == recorded.extra("spec") for one in inside)
