"""`gbench completion`: shell completion of verbs and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    eval "$(gbench completion bash)"            # in ~/.bashrc
    gbench completion fish > ~/.config/fish/completions/gbench.fish
    """
    root = ctx.find_root()
    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(root.command, {}, "gbench", "_GBENCH_COMPLETE").source())
