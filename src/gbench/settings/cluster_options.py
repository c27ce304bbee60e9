"""What the options of a cluster's job have in common. Imports nothing heavy."""

from collections.abc import Sequence
from typing import Any

from gbench.errors import UsageError
from gbench.settings.literals import RunnerName
from gbench.settings.request import OF_KUBERNETES, OF_SLURM, ROWS, Request


def option_of(name: str) -> str:
    """The option of a field of Request, as the user writes it."""
    return f"--{ROWS[name].key.replace('_', '-')}"


def given_options(request: Request, runner: RunnerName, own: RunnerName, names: Sequence[str]) -> dict[str, Any] | None:
    """The values of a request's options of --runner `own`; None for another runner.

    Raises UsageError: one is given that has no effect with this runner, or is empty or not one line.
    """
    given = {name: getattr(request, name) for name in names if getattr(request, name) != ROWS[name].default}
    others = {"slurm": OF_SLURM, "kubernetes": OF_KUBERNETES}.get(runner, ())
    if runner != own:
        for name in given.keys() - set(others):
            runners = "slurm or kubernetes" if name in OF_SLURM and name in OF_KUBERNETES else own
            raise UsageError(f"{option_of(name)} has no effect with --runner {runner}", f"add --runner {runners}")
        return None
    if request.cuda_visible_devices is not None:
        raise UsageError(f"--gpus has no effect with --runner {own}: the cluster assigns the GPUs", "leave it out")
    if request.profile == "optimized":
        raise UsageError(
            f"--profile optimized has no effect with --runner {own}: a tuning is of one machine",
            "name the switches: --set speed.KEY=VALUE",
        )
    for name in given.keys() - {"queue_timeout_s"}:
        for text in [given[name]] if isinstance(given[name], str) else given[name]:
            if not text.strip() or not text.isprintable():
                raise UsageError(f"{option_of(name)} {text!r} is empty or not one line", "fix it, or leave it out")
    return given
