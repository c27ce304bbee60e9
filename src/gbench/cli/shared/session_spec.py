"""The folder of an experiment, and the spec file of its runs, which belong to that folder."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gbench.cli.shared.run_options import command_line
from gbench.errors import UsageError

if TYPE_CHECKING:
    from gbench.settings.spec import RunSpec


def new_folder(verb: str, results_dir: str | None) -> Path:
    """The path of a new experiment's folder. results_dir: as given; None: the default."""
    from gbench.settings.defaults import folder_of
    from gbench.settings.resolve import new_run_id

    return (folder_of("results_dir", os.environ, results_dir) / new_run_id(verb)).absolute()


def spec_of_file(path: Path, folder: Path, verb: str) -> "RunSpec":
    """The spec of a file, with its run folders in `folder`. Raises UsageError: it is invalid."""
    from gbench.settings.defaults import resolve_values
    from gbench.settings.spec_file import read_mapping

    values = read_mapping(path)
    if values.get("database", False) is not False:
        raise UsageError(f"{path}: database: no database takes runs of gbench {verb}", "leave it out")
    if "results" in values:
        raise UsageError(
            f"{path}: results: run folders are made in that of the session", f"give gbench {verb} --results"
        )
    resolved = resolve_values(values, str(path), os.environ, command_line())
    return resolved.spec.replaced(results_dir=str(folder))
