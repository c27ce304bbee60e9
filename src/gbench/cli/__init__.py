"""The `gbench` command: one file per verb, loaded when it is used."""

import errno
import gc
import importlib
import io
import os
import re
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from gbench import __version__
from gbench.base.faults import as_expected
from gbench.base.terminated import end_with_a_sentence
from gbench.errors import ExitCode, GbenchError, sentence

SHOWN = 4  # verbs of an option
# verb (and module in gbench.cli) -> its line in `gbench --help`, which imports none of the modules
COMMANDS = {
    "launch": "Run and measure a model once, and write one CNDB record.",
    "converge": "Run a convergence run from the first epoch to its evaluation; --resume continues one.",
    "eval": "Evaluate a checkpoint on the test split: metrics, images and a gallery.",
    "profile": "Show where the time of a training step goes: operators, data wait, gaps, communication; write a trace.",
    "check": "Check whether this machine is fit to measure on: Docker, GPU, disk, dataset.",
    "build": "Build the image only.",
    "data": "Prepare, draw, verify and describe the dataset.",
    "models": "List the models that can be launched, and the values of each.",
    "runs": "List the run folders with state, headline and verdict; prune old ones.",
    "watch": "Show the progress of a run that another terminal or job has started.",
    "summary": "Recompute the figures of a run folder from its raw samples.",
    "sweep": "Launch every combination of batch sizes, device counts and precisions; print one table.",
    "compare": "Check whether NEW is slower than BASE by more than noise, and list what else differs.",
    "nightly": "Measure a night, and judge it by the nights before it, for cron and CI.",
    "calibrate": "Measure how often compare and nightly err on this machine, and the loss that they find.",
    "ab": "Alternate two spec files or commits until the ratio of their figures is known to 1 %.",
    "bisect": "Find the commit that made a run slower, by alternating each step's commit with GOOD.",
    "predict": "Predict step time and throughput on more nodes, from the record of one and an all-reduce.",
    "replay": "Rerun a recorded run and compare; lists first what can't be reproduced here.",
    "report": "Write a self-contained HTML page of a run, a record or a history.",
    "cndb": "Move records into and out of a database: submit, import, list, show, export, verify, baseline.",
    "tune": "Find the speed-ups that pay on this device, and save them for --profile optimized.",
    "completion": "Print the shell completion for bash, zsh or fish.",
}


class LazyGroup(click.Group):
    """Imports the module of a verb when the verb is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`gbench help VERB` is `gbench VERB --help`."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"gbench.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            if near := difflib.get_close_matches(args[0].lower(), COMMANDS, n=1):
                raise click.UsageError(f"No such command {args[0]!r}: did you mean {near[0]}?", ctx) from error
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit with 1, the code of a regression
            _without_reader()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if not value or ctx.resilient_parsing:
        return
    click.echo(f"gbench {__version__}")
    if value == "all":
        from gbench.machine.versions import component_versions

        for name, version in component_versions().items():
            click.echo(f"{name} {version}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version",
    is_flag=False,
    flag_value="gbench",
    type=click.Choice(["gbench", "all"]),
    metavar="[all]",
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version; `--version all` adds torch, driver, Docker and Python.",
)
def cli() -> None:
    """Benchmark GPU training: one launch, one performance record with the evidence for its figures.

    \b
    gbench launch pix2pix_resnet_9blocks 32 8 FP32                                  8 GPUs, in the project's image
    gbench launch pix2pix_resnet_9blocks 4 1 FP32 --device cpu --runner local      this CPU, without Docker

    `gbench help VERB` and `gbench VERB --help` explain a verb, with examples.

    Exit codes: 0 ok; 1 the run or the check failed, a regression, or not reproduced; 2 wrong arguments; 3 inconclusive;
    4 a problem of Docker, cluster, GPU, dataset, disk or database; 5 the run succeeded, but the database did not accept
    its record; 70 a bug in gbench; 130 stopped by Ctrl-C or a signal; 141 the reader of the output has gone.
    """


def _unknown_option(error: click.NoSuchOption) -> str:
    """The sentence for an option that a verb doesn't have: with the one that is meant, or the verbs that have it."""
    import difflib

    def options(command: click.Command | None) -> list[str]:
        params = command.params if command else []
        return [name for param in params if isinstance(param, click.Option) for name in param.opts]

    given, own = error.option_name, options(error.ctx.command if error.ctx else None)
    near = difflib.get_close_matches(given.lstrip("-"), [name.lstrip("-") for name in own], n=1, cutoff=0.7)
    if near:
        return f"no such option {given!r}: did you mean --{near[0]}?"
    commands: dict[str, click.Command | None] = {}
    for verb in COMMANDS:
        command = commands[verb] = cli.get_command(click.Context(cli), verb)
        if isinstance(command, click.Group):
            commands |= {f"{verb} {name}": one for name, one in command.commands.items()}
    verbs = [verb for verb, command in commands.items() if given in options(command)]
    more = " and more" if len(verbs) > SHOWN else ""
    return f"no such option {given!r}" + (f": it belongs to {', '.join(verbs[:SHOWN])}{more}" if verbs else "")


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed: no file may get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _without_reader() -> NoReturn:
    """Exit without a message: the reader of stdout has gone."""
    _drop_stdout()
    sys.exit(ExitCode.NO_READER)


def _drop_stdout() -> None:
    """Discard buffered output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _say(text: str) -> None:
    """Print to stderr, if it can be written: the exit code is the same without."""
    try:
        click.echo(text, err=True)
    except OSError:  # the terminal has gone, or its disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _fail(what: str, hint: str, code: int, printed: bool) -> NoReturn:
    """Exit with one sentence on stderr, and with --json an object on stdout.

    printed: a result is on stdout already.
    """
    _say(f"gbench: error: {sentence(what, hint)}")
    if "--json" in sys.argv and not printed:
        from gbench.cli.shared.output import print_json

        try:
            print_json({"error": {"what": what, "hint": hint, "exit_code": int(code)}})
            sys.stdout.flush()
        except OSError:
            _drop_stdout()
    sys.exit(code)


def main() -> None:
    """Entry point: report an expected error as one sentence and an exit code, a bug with its traceback."""
    gc.set_threshold(50_000, 20, 20)  # to look for cycles, which are few, took 7 % of a summary
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a path is printed as the bytes that it has
    if "_GBENCH_COMPLETE" in os.environ:
        with suppress(Exception):  # an error would be printed between the words of the user's command line
            cli.main(prog_name="gbench")
        sys.exit(ExitCode.OK)
    before = end_with_a_sentence()
    shown: dict[str, bool] = {}  # what print_json notes
    try:
        code = cli.main(prog_name="gbench", standalone_mode=False, obj=shown)
        sys.stdout.flush()  # inside `try`, so that a full disk is reported like any other error
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except GbenchError as error:
        _fail(error.what, error.hint, error.exit_code, bool(shown))
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        sys.exit(ExitCode.USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        message = _unknown_option(error) if isinstance(error, click.NoSuchOption) else error.format_message()
        message = re.sub(r"'\[(\w+)\]'", r"'\1'", message)  # click's brackets: it may be left out
        if param := getattr(error, "param", None):  # an argument with choices has these for a name
            message = re.sub(r"'\{.*?\}'", f"'{param.name.upper()}'", message, count=1)
        message = " ".join(message.split()).replace(". Choose from: ", ": choose from ")  # click breaks the line there
        message = re.sub(r"\. Did you mean '([^']+)'\?$", r": did you mean \1?", message)  # click's other form
        hint = f"see `{context.command_path} --help`" if context else ""
        _fail(f"{message[0].lower()}{message[1:].rstrip('.')}", hint, ExitCode.USAGE, bool(shown))
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped by Ctrl-C", "nothing was left running", ExitCode.INTERRUPTED, bool(shown))
    except BrokenPipeError:
        _without_reader()
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            if error.errno == errno.ENOSPC:
                _say("gbench: error: can't write to stdout (No space left on device); free space there")
                _drop_stdout()
                sys.exit(ExitCode.INFRASTRUCTURE)
            if error.errno == errno.EIO:  # the terminal has gone, and sent SIGHUP
                _fail("stopped: the terminal has gone", "what was written is kept", ExitCode.INTERRUPTED, bool(shown))
        if expected := as_expected(error):
            _fail(expected.what, expected.hint, expected.exit_code, bool(shown))
        import traceback

        _say(traceback.format_exc().rstrip("\n"))
        _fail(f"a bug of gbench {__version__}", "please report it with the lines above", ExitCode.BUG, bool(shown))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
