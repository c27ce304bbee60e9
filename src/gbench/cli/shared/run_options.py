"""The arguments and options of commands that run something: the rows of `settings/request.py` as click parameters."""

import math
import os
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from gbench.base.files import require_writable
from gbench.base.paths import BISECT, CALIBRATE, SESSION, SPEC, SWEEP, expanded, require_readable
from gbench.cli.shared.suggested import DEVICE, MODEL, PRECISION, PROFILE, RUNNER, SETTING
from gbench.errors import GbenchError, UsageError, without_password
from gbench.settings import quantities
from gbench.settings.literals import THRESHOLD, ContainerName, DataSource, Network
from gbench.settings.request import ARGUMENTS, OF_CLUSTERS, OF_NODES, ROWS, Kind, Request

if TYPE_CHECKING:
    from gbench.settings.resolve import Resolved
    from gbench.settings.spec import RunSpec


class Parsed(click.ParamType[Any]):
    """A value parsed by a function, which returns None for invalid text."""

    def __init__(self, name: str, parse: Callable[[str], Any], wrong: str) -> None:
        self.name, self._parse, self._wrong = name, parse, wrong

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        parsed = self._parse(value)
        if parsed is None:
            self.fail(f"{value!r} is {self._wrong}", param, ctx)
        return parsed


class Whole(click.IntRange):
    """A whole number from `min` on and below `most`, which help does not name."""

    def __init__(self, min: int, most: int) -> None:
        super().__init__(min=min)
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number >= self._most:
            self.fail(f"{value} is not below {self._most}", param, ctx)
        return number


class Amount(click.FloatRange):
    """A finite number of a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class Renamed(click.Option):
    """An option with former names: they work, but no help and no completion names them."""

    def __init__(self, *args: Any, former: Sequence[str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._former = former

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        names = self.opts
        self.opts = [*names, *self._former]
        super().add_to_parser(parser, ctx)
        self.opts = names


class Existing(click.ParamType[Path]):
    """A path that must be there: the same exit code in every command. Raises UsageError, InfrastructureError."""

    name = "path"

    def __init__(self, kind: Literal["file", "folder", "any"] = "any") -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        require_readable(path, self._kind)
        return path


class NewFile(click.ParamType[Path]):
    """A file to write at the end: its folder is checked now. Raises UsageError, InfrastructureError."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path, option = Path(value), param.opts[0] if param else "the file"
        if path.is_dir() or not path.parent.is_dir():
            why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise UsageError(f"{option} {path} can't be written: {why}", "give the path of a file")
        require_writable(path.parent)
        others = ctx.meta.setdefault(NEW_FILES, {}) if ctx else {}
        other = others.setdefault(path.resolve(), option)
        if other != option:
            raise UsageError(f"{other} and {option} are the same file, {path}", "give each a file of its own")
        return path


class ExistingRun(Existing):
    """A run folder: its path, the beginning of its name in the folder of results, or `latest`. Raises as `Existing`."""

    def __init__(
        self, kind: Literal["file", "folder", "any"] = "any", marker: str = SPEC, starting: bool = False
    ) -> None:
        """marker: the file that makes a folder one of a run, of a session or of a sweep. starting: as `find_run`."""
        super().__init__(kind)
        self._marker, self._starting = marker, starting

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from gbench.runfolder.find import LATEST, run_folders
        from gbench.settings.defaults import folder_of

        names = [LATEST]
        with suppress(GbenchError, OSError):  # a broken gbench.yaml, or a folder that can't be read
            names += (path.name for path in run_folders(folder_of("results_dir", os.environ), self._marker))
        found = [CompletionItem(name) for name in names if name.startswith(incomplete) and name.isprintable()]
        return found or [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from gbench.runfolder.find import LATEST, find_run
        from gbench.settings.defaults import folder_of

        path = Path(value)
        if not os.path.lexists(path):
            path = find_run(str(value), self._marker, starting=self._starting) or path
        if len(path.parts) != 1 or os.path.lexists(path):
            return super().convert(path, param, ctx)
        kind, place = RUNS[self._marker], folder_of("results_dir", os.environ)
        if path.name == LATEST:
            raise UsageError(f"there is no {kind} in {place}", "start one, or give the path of another")
        raise UsageError(
            f"{path} is not there, and no {kind} in {place} has a name that begins so", "see `gbench runs`"
        )


def _datasets_dir(text: str) -> str:
    """A folder that is there. Raises UsageError: it is not."""
    from gbench.datasets.layout import get_a_dataset

    if not expanded(text).exists():
        raise UsageError(f"DATASETS_DIR {text} is not there", get_a_dataset(text))
    return text


NEW_FILES = "gbench.new_files"  # key of a context's meta: files to write -> option
RUNS = {SPEC: "run", SWEEP: "sweep", SESSION: "session", BISECT: "search", CALIBRATE: "calibration"}
PATH, NEW_FILE = click.Path(path_type=Path), NewFile()
FILE, FOLDER = Existing("file"), Existing("folder")
RUN, RUN_OR_FILE = ExistingRun("folder"), ExistingRun()
COUNT, NATURAL = Whole(1, quantities.MOST), Whole(0, quantities.MOST_SEED)
click.IntRange.name, click.FloatRange.name = "whole number", "number"  # in errors; click says "integer range"
SECONDS = Parsed("time", quantities.seconds, f"not {quantities.SPAN}")
COUNTS = Parsed("numbers", quantities.counts, "not a list of numbers from 1 on, like 1,2,4")
PERCENT = Parsed("percent", quantities.share, f"not {quantities.SHARE}")
TYPES: dict[Kind, Any] = {
    Kind.COUNT: COUNT,
    Kind.NATURAL: NATURAL,
    Kind.DATASETS_DIR: Parsed("folder", _datasets_dir, ""),
    Kind.AMOUNT: Amount(min=0),
    Kind.SPAN: SECONDS,
    Kind.SHARE: PERCENT,
    Kind.PRECISION: PRECISION,
    Kind.DEVICE: DEVICE,
    Kind.RUNNER: RUNNER,
    Kind.NETWORK: click.Choice(get_args(Network)),
    Kind.ENDPOINT: Parsed("endpoint", quantities.endpoint, f"not {quantities.ENDPOINT}"),
    Kind.GPUS: Parsed("gpus", quantities.gpus, f"not {quantities.GPUS}"),
    Kind.PROFILE: PROFILE,
    Kind.SETTINGS: SETTING,
    Kind.DATA_SOURCE: click.Choice(get_args(DataSource)),
    Kind.CONTAINER: click.Choice(get_args(ContainerName)),
    Kind.IGNORE_CHECK: Parsed("check", quantities.ignore_check, "neither false nor ignore_check"),
    Kind.VARIABLES: Parsed("variable", lambda text: text.split("=", 1) if "=" in text else None, "not NAME=VALUE"),
}
OF_JOBS = ("detach", "attach_dir")  # of a job that goes on without its gbench
MEASURED = ("steps", "warmup", "until_ci", "max_time_s")  # only for measured runs


def renamed(*names: str, former: Sequence[str], **more: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=Renamed, former=former, **more)


def bundle(decorators: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Combine arguments and options into one decorator; help shows them in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def out_option(help: str, former: Sequence[str] = (), **more: Any) -> Callable[[Any], Any]:
    """Where a command writes its files."""
    return renamed("-o", "--out", former=former, help=help, **{"type": PATH, **more})


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print the result only, no progress.")
markdown_option = click.option("--markdown", type=NEW_FILE, help="Also write the result as Markdown.")
junit_option = click.option("--junit", type=NEW_FILE, help="Also write the result as JUnit XML.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print what would run, with the origin of each value; start nothing."
)


def threshold_option(help: str) -> Callable[[Any], Any]:
    return click.option("--threshold", type=PERCENT, default=f"{THRESHOLD:.0%}", help=help)


def what_runs(required: bool) -> Callable[[Any], Any]:
    """The arguments MODEL, BATCH_SIZE, DEVICE_COUNT and PRECISION."""
    return bundle([click.argument(name, type=_type(name), required=required) for name in ARGUMENTS[:4]])


def _type(name: str) -> Any:
    return MODEL if name == "model" else TYPES.get(ROWS[name].kind)


LAST_ARGUMENTS = [click.argument(name, type=_type(name), default="false") for name in ARGUMENTS[4:]]


# launch.sh's six arguments; `require_arguments` checks that the first four are given
run_arguments = bundle([what_runs(required=False), *LAST_ARGUMENTS])


def run_options(without: Collection[str] = ()) -> Callable[[Any], Any]:
    """The options of every run. without: names of options that the command does not take."""
    return bundle(
        [
            *(option(name) for name in ROWS if name not in (*ARGUMENTS, *MEASURED, *OF_NODES, *OF_CLUSTERS, *without)),
            click.option("--rebuild", is_flag=True, help="Rebuild the image without the build cache."),
            *(dry_run_option, json_option, quiet_option),
        ]
    )


def option(name: str, more: str | None = None) -> Callable[[Any], Any]:
    """The option of a field of Request. more: the end of its help; default: its variable."""
    row = ROWS[name]
    repeated = row.kind in (Kind.SETTINGS, Kind.VARIABLES, Kind.LINES)
    if more is None:
        more = f" Variable: {row.variable}." if row.variable else ""
    return click.option(
        f"--{row.key.replace('_', '-')}",
        name,
        type=_type(name),
        is_flag=row.kind is Kind.FLAG,
        multiple=repeated,
        default=f"{row.default:g}s" if row.kind is Kind.SPAN and row.default else None if repeated else row.default,
        show_default=not repeated and row.default is not None and row.default is not False,
        metavar=row.metavar or row.variable or None,
        help=row.help + more,
    )


measure_options = bundle([option(name) for name in MEASURED])
node_options = bundle([option(name) for name in OF_NODES])
cluster_options = bundle(
    [
        *(option(name) for name in OF_CLUSTERS),
        click.option(
            "--detach", is_flag=True, help="Submit the job and leave it; `gbench launch --attach` takes it up."
        ),
    ]
)


class WithClusters(click.Command):
    """A command whose help shows the options that only clusters take in a section of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                rows[parameter.name in (*OF_CLUSTERS, *OF_JOBS)].append(record)
        for of_cluster, title in ((False, "Options"), (True, "Options of --runner slurm and kubernetes")):
            with formatter.section(title):
                formatter.write_dl(rows[of_cluster])


def require_arguments(given: Mapping[str, Any]) -> None:
    """Raises MissingParameter: one of launch.sh's first four arguments is not given."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name in ARGUMENTS[:4] and given[parameter.name] is None:
            raise click.UsageError(f"Missing argument {parameter.name.upper()!r}.", context)


def require_detachable(spec: "RunSpec", runs: int) -> None:
    """Raises UsageError: --detach does not apply. runs: how many are asked for."""
    if not spec.on_cluster:
        raise UsageError(f"--detach has no effect with --runner {spec.runner}", "add --runner slurm or kubernetes")
    if runs > 1:
        raise UsageError(f"--detach leaves one job, not {runs}", "give the command once a job")


def of_spec_file(path: str, allowed: Collection[str], environ: Mapping[str, str]) -> "Resolved":
    """Resolve the spec file in place of MODEL. allowed: other parameters that may be given. Raises UsageError."""
    from gbench.settings.defaults import resolve_values
    from gbench.settings.spec_file import read_mapping

    require_only(allowed, f"with {path}, all options belong in that file")
    require_readable(Path(path), "file")
    return resolve_values(read_mapping(Path(path)), path, environ, command_line())


def require_only(allowed: Collection[str], why: str) -> None:
    """Raises UsageError, which says why: an argument or option is given that is not in `allowed`."""
    if others := given_except(allowed):
        raise UsageError(why, f"leave out {', '.join(others)}")


def given_except(allowed: Collection[str]) -> list[str]:
    """The arguments and options on the command line that are not in `allowed`, as the user writes them."""
    return [
        parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()
        for parameter in click.get_current_context().command.params
        if parameter.name in stated() - set(allowed)
    ]


def stated() -> set[str]:
    """The names of the parameters that are on the command line."""
    context = click.get_current_context()
    return {
        str(parameter.name)
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    }


def resolved_of(given: dict[str, Any], environ: Mapping[str, str], more: Collection[str] = ()) -> "Resolved":
    """Resolve the command line, the environment and gbench.yaml to a spec. Raises UsageError.

    more: names of values that are as if stated on the command line.
    """
    from gbench.settings.defaults import with_defaults
    from gbench.settings.resolve import resolve

    database = given.get("database") or "false"
    changed = {"database": None if database.lower() == "false" else database, "env": dict(given.get("env", ()))}
    request = Request(**{**given, **changed}, command_line=command_line())
    fixed = {*stated(), *more, *(ROWS.keys() - given.keys())}
    return resolve(with_defaults(request, fixed, environ), environ)


def command_line() -> str:
    """This command, for the record, without a password in an address."""
    return without_password(shlex.join(["gbench", *sys.argv[1:]]))
