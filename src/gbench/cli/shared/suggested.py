"""Values that shell completion suggests; whether a value is valid is decided elsewhere."""

import os
from collections.abc import Callable, Iterable
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem

from gbench.settings.literals import Device, Precision, RunnerName, SpeedProfile


class Suggested(click.ParamType[str]):
    """Text, with suggestions in any case; of a list `a,b`, for its last part."""

    name = "text"

    def __init__(self, values: Callable[[click.Context], Iterable[str]], listed: bool = False) -> None:
        self._values, self._listed = values, listed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if self._listed else ("", "", incomplete)
        fitting = [value for value in self._values(ctx) if value.lower().startswith(last.lower())]
        return [CompletionItem(f"{before}{comma}{value}") for value in fitting if value.isprintable()]


def _models(ctx: click.Context) -> Iterable[str]:
    from gbench.settings.model_file import model_names
    from gbench.settings.resolve import default_config_dir

    return model_names(default_config_dir(os.environ))


def _settings(ctx: click.Context) -> Iterable[str]:
    """The keys of the config, `network.ngf=`, of the model on the command line or of any."""
    from gbench.settings.model_file import load_model
    from gbench.settings.resolve import default_config_dir

    folder = default_config_dir(os.environ)
    model = load_model(ctx.params.get("model") or next(iter(_models(ctx))), folder)
    return [f"{key}=" for key in model.config(next(iter(model.recipes))).settings]


MODEL, SETTING = Suggested(_models), Suggested(_settings)
PRECISION = Suggested(lambda _: get_args(Precision))
PRECISIONS = Suggested(lambda _: get_args(Precision), listed=True)
DEVICE = Suggested(lambda _: get_args(Device))
RUNNER = Suggested(lambda _: get_args(RunnerName))
PROFILE = Suggested(lambda _: get_args(SpeedProfile))
