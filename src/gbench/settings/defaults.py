"""A user's defaults for what the command line or a spec file does not say: some variables, and a file gbench.yaml.

The file is that of $GBENCH_DEFAULTS, which may be empty for none; else the nearest gbench.yaml in this folder and those
above it; else gbench/gbench.yaml in the user's config folder. It may come from a stranger: its keys name nothing that
would be executed, so no script, image or environment variable.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gbench.base.files import is_there
from gbench.base.paths import DEFAULT_DATASETS_DIR, expanded, user_dir
from gbench.errors import UsageError
from gbench.settings.request import ROWS, Request
from gbench.settings.resolve import (
    DEFAULT_CNDB_DIR,
    DEVICES,
    RUNNERS,
    Resolved,
    one_of,
    output_dir,
    resolve,
)
from gbench.settings.spec_file import HINT, read_mapping, request_of

NAME = "gbench.yaml"
KEYS = (
    *("device", "runner", "dataset", "data", "set", "seed", "deterministic", "timeout", "profile", "cache_limit"),
    *("cache_dir", "datasets_dir", "cndb_dir", "results", "logs"),
)
PATHS = ("cache_dir", "datasets_dir", "cndb_dir", "results_dir", "logs_dir")  # relative to the file's folder
# variables of launch.sh that are no row's, and the folder's name below WORK_DIR or here
OUTPUT = {"results_dir": ("RESULT_DIR", "results"), "logs_dir": ("LOG_DIR", "logs")}
BUILT_IN = {"datasets_dir": DEFAULT_DATASETS_DIR, "cndb_dir": DEFAULT_CNDB_DIR}
VARIABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "GBENCH_DEVICE": ("device", DEVICES),
    "GBENCH_RUNNER": ("runner", RUNNERS),
}
WHAT_RUNS = {"model": "-", "batch_size": 1, "device_count": 1, "precision": "FP32"}  # the keys that a whole file needs


def defaults_file(environ: Mapping[str, str]) -> Path | None:
    """The file of defaults that applies in the working folder, if any."""
    if (named := environ.get("GBENCH_DEFAULTS")) is not None:
        return expanded(named) if named else None
    here = Path.cwd()
    users = user_dir(environ, "XDG_CONFIG_HOME", ".config") / "gbench"
    for folder in (here, *here.parents, users):
        with suppress(PermissionError):
            if is_there(folder / NAME):
                return folder / NAME
    return None


def read_defaults(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of Request that have a default here and no variable of launch.sh, and the origin of each.

    Raises UsageError: an invalid value.
    """
    values: dict[str, Any] = {}
    path = defaults_file(environ)
    if path is not None:
        try:
            given = read_mapping(path, hint="fix the file")
            if others := [key for key in given if key not in KEYS]:
                raise UsageError(f"{path}: {others[0]} can have no default", f"take any of {', '.join(KEYS)}")
            request = request_of({**WHAT_RUNS, **given}, str(path))
        except UsageError as error:
            joint = " Or" if error.hint.endswith("?") else ", or"
            raise UsageError(error.what, f"{error.hint}{joint} set GBENCH_DEFAULTS= to run without it") from error
        values = {row.name: getattr(request, row.name) for row in ROWS.values() if row.key in given}
        values = {name: value for name, value in values.items() if not any(map(environ.get, _variables(name)))}
        for name in PATHS:
            if values.get(name):
                values[name] = str((path.parent / expanded(values[name])).resolve())
    origins = dict.fromkeys(values, str(path))
    for variable, (name, choices) in VARIABLES.items():
        if value := environ.get(variable):
            values[name], origins[name] = one_of(variable, value, choices), f"variable {variable}"
    return values, origins


def _variables(name: str) -> tuple[str, ...]:
    """The variables of launch.sh that set a field."""
    return (OUTPUT[name][0], "WORK_DIR") if name in OUTPUT else (ROWS[name].variable,)


def folder_of(
    name: str, environ: Mapping[str, str], given: str | Path | None = None, default: str | None = None
) -> Path:
    """A folder of this machine: `given` by an option, else by a variable or gbench.yaml, else the default.

    name: a key of OUTPUT or BUILT_IN. default: in place of the built-in one. Raises UsageError: an invalid default.
    """
    given = given or read_defaults(environ)[0].get(name)
    if name in OUTPUT:
        return Path(output_dir(str(given) if given else None, *OUTPUT[name], environ)[0])
    return expanded(given or environ.get(ROWS[name].variable) or default or BUILT_IN[name])


def with_defaults(request: Request, stated: Collection[str], environ: Mapping[str, str]) -> Request:
    """`request` with the user's defaults.

    stated: the fields that keep their value. The settings of `set` are those of both.
    Raises UsageError: an invalid value.
    """
    values, origins = read_defaults(environ)
    changes, keyed = {}, {}
    settings = [(setting, origins["settings"]) for setting in values.pop("settings", ())]
    for name, value in values.items():
        row = ROWS[name]
        if value is None or name in stated:
            continue
        if row.setting:
            settings.append((f"{row.setting}={value}", origins[name]))
        else:
            changes[name], keyed[row.variable or name] = value, origins[name]
    overridden = {setting.partition("=")[0] for setting in request.settings}
    overridden |= {row.setting for row in ROWS.values() if row.name in stated}
    kept = []
    for setting, origin in settings:
        key = setting.partition("=")[0]
        if key not in overridden:
            kept.append(setting)
            keyed[key] = origin
    return replace(request, **changes, settings=(*kept, *request.settings), origins=keyed)


def resolve_values(
    values: Mapping[str, Any], where: str, environ: Mapping[str, str], command_line: str = "", hint: str = HINT
) -> Resolved:
    """The spec that the keys and values of a spec file describe. where: the file, for errors. Raises UsageError."""
    request = request_of(values, where, command_line, hint)
    stated = [row.name for row in ROWS.values() if row.key in values]
    request = with_defaults(request, stated, environ)
    try:
        return resolve(request, environ)
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", error.hint) from error
