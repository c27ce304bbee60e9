"""Options of a convergence run: its live views, and the alarms that end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from gbench.cli.shared.run_options import bundle
from gbench.settings.literals import AlarmKind

if TYPE_CHECKING:
    from gbench.follow.follower import Views

VISDOM_URL = "http://localhost:8097"  # visdom's own default
ALARMS = get_args(AlarmKind)


class Alarms(click.ParamType[tuple[str, ...]]):
    """Names of alarms: `nan,collapse`, or `any`."""

    name = "alarms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if names == ("any",):
            return ALARMS
        for name in names:
            if name not in ALARMS:
                self.fail(f"{name!r} is not an alarm; choose from {', '.join(ALARMS)}, or any", param, ctx)
        return names


def _url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from gbench.follow.follower import require_url

        require_url(value)
    return value


view_options = bundle(
    [
        click.option(
            "--visdom",
            is_flag=False,
            flag_value=VISDOM_URL,
            metavar="[URL]",
            is_eager=True,  # if it has taken the next argument as its URL, report that first
            callback=_url,
            help="Send losses and images to a visdom server during the run. "
            f"Without a value (put it last): {VISDOM_URL}.",
        ),
        click.option(
            "--tensorboard",
            is_flag=False,
            flag_value="",
            metavar="[DIR]",
            help="Write TensorBoard event files to DIR/RUN_ID. Without a value (put it last): RUN_DIR/tensorboard.",
        ),
    ]
)


def views_of(given: dict[str, Any]) -> Views:
    """The views that the options ask for, removed from `given`. Raises InfrastructureError: one is unavailable."""
    from gbench.follow.follower import Views

    views = Views(given.pop("visdom"), given.pop("tensorboard"))
    views.require()
    return views
