"""The `gbench` command: one file a verb, loaded when it is asked for."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from gbench import __version__
from gbench.errors import ExitCode, GbenchError

# verb -> module below gbench.cli, and its line in `gbench --help`, given here so that help loads none of them
COMMANDS = {
    "launch": "One measured run -> one CNDB record.",
    "converge": "The convergence run, from the first epoch to its evaluation; --resume goes on with one.",
    "eval": "A checkpoint on the test split: metrics, images, and a gallery of them.",
    "profile": "Where the time of a training step goes: operators, data wait, gaps, communication; and a trace.",
    "check": "Is this machine fit: Docker, GPU, disk, dataset?",
    "build": "Build the image, and nothing else.",
    "data": "Prepare, synth, verify, stats: the dataset.",
    "models": "What can be launched, and every value it means.",
    "summary": "The figures of a run folder, recomputed from its raw samples.",
    "sweep": "A matrix of batch sizes, device counts and precisions: a launch each, and one table.",
    "compare": "Is NEW slower than BASE by more than noise? What else differs?",
    "ab": "Two spec files, run in turn, until the ratio of their figures is known to 1 %.",
    "replay": "A recorded run made again; what can't be reproduced here is said first.",
    "report": "One self-contained HTML page of a run, a record, or a whole history.",
    "cndb": "Records into a database and out of it: submit, import, list, show, export, verify, baseline.",
    "tune": "Which speed-ups pay here? Try the switches by turns, and remember those that do.",
    "completion": "Shell completion for bash, zsh and fish.",
}


class LazyGroup(click.Group):
    """Imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"gbench.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # of which click would make exit code 1, a regression's
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


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
    """Benchmark GPU training: one launch, one performance record that can be defended.

    \b
    gbench launch pix2pix_resnet_9blocks 32 8 FP32                                  8 GPUs, in the pinned image
    gbench launch pix2pix_resnet_9blocks 4 1 FP32 --device cpu --runner local      this processor, no Docker

    Exit codes: 0 ok; 1 the run or the check failed, a regression, or not reproduced; 2 wrong arguments; 3 inconclusive;
    4 Docker, GPU, dataset, disk or database stands in the way; 5 the run ended well, but the database did not take its
    record; 70 a bug of gbench; 130 stopped by Ctrl-C or a signal.
    """


def _without_reader() -> NoReturn:
    """The reader of our output has gone: nobody is left to be told."""
    _drop_stdout()
    sys.exit(ExitCode.NO_READER)


def _drop_stdout() -> None:
    """Have what is still buffered go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    """Entry point: expected errors become one sentence and an exit code; bugs keep their traceback."""
    try:
        code = cli.main(prog_name="gbench", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk is told as everywhere
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except GbenchError as error:
        click.echo(f"gbench: error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(ExitCode.USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        more = f"; see `{context.command_path} --help`" if context else ""
        message = error.format_message()
        click.echo(f"gbench: error: {message[0].lower()}{message[1:].rstrip('.')}{more}", err=True)
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("gbench: error: stopped by Ctrl-C; nothing was left running", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        _without_reader()
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            click.echo("gbench: error: can't write to stdout (No space left on device); free space there", err=True)
            _drop_stdout()
            sys.exit(ExitCode.INFRASTRUCTURE)
        import traceback

        traceback.print_exc()
        click.echo(f"gbench: error: a bug of gbench {__version__}; please report it with the lines above", err=True)
        sys.exit(ExitCode.BUG)
