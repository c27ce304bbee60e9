"""Print records: one line per record, or one record with all its keys."""

import json
import re
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import click
import yaml

from gbench.base.utc import time_of
from gbench.cli.shared.output import echo, or_dash, print_json, what_ran
from gbench.cli.shared.table import print_csv, print_table
from gbench.cndb.throughput import FIRST_RULE, LAUNCH_SH, in_words
from gbench.errors import UsageError

if TYPE_CHECKING:
    from gbench.cndb.queries import Entry, StoredRecord

HEADINGS = ["id", "ran (UTC)", "model", "batch", "on", "device", "prec.", "img/s", "95 %", "run", "losses"]
RIGHT = (0, 3, 4, 7, 8)  # columns of numbers
GIVE_WAY = {10: 6, 9: 17, 2: 8, 5: 8}  # column -> minimum width when cut, in the order of cutting
LEFT_OUT = (10, 8, 9, 1, 3, 4, 6, 5)  # columns to omit on a narrow terminal, in the order of omission
UNITS = {"d": "days", "h": "hours", "w": "weeks"}


def moment(text: str, option: str = "--since", or_else: str = "") -> datetime:
    """Parse a time: `2026-01-31`, `2026-01-31T12:00`, or an age: `30d`, `12h`, `2w`. UTC if no zone is given.

    or_else: what the option may be in place of a time. Raises UsageError: it is none of these.
    """
    ago = re.fullmatch(r"(\d{1,5})([dhw])", text)
    if ago is not None:
        return datetime.now(timezone.utc) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    if (then := time_of(text)) is None:
        raise UsageError(
            f"{option} {text!r} isn't a valid time", f"write a date (2026-01-31), an age (30d, 12h, 2w){or_else}"
        )
    return then


def print_entries(entries: "list[Entry]", as_json: bool = False, as_csv: bool = False) -> None:
    """Print all fields of records as JSON or CSV; else a table, cut to the terminal: never model and figure."""
    from gbench.cndb.queries import Entry

    if as_json:
        print_json([_plain(entry) for entry in entries])
    elif as_csv:
        rows = map(_plain, entries)
        print_csv(Entry, ({k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows))
    elif entries:
        print_table([HEADINGS, *map(_cells, entries)], RIGHT, GIVE_WAY, LEFT_OUT)
    else:
        echo("no records")


def print_record(found: "StoredRecord") -> None:
    """Print one record: summary, figure, then all keys as YAML, in the contract's order, sorted within each mapping."""
    record = found.record
    echo(f"record {found.id}  md5 {found.md5}  stored {_minute(found.created)}  updated {_minute(found.updated)}")
    echo(what_ran(record), keep="")
    match record.perf_data:
        case {"throughput": float() | int() as figure, **rest}:
            line = f"{figure:.4g} {rest.get('throughput_unit', '')}"
            match rest:
                case {"throughput_interval": {"low": float() | int() as low, "high": float() | int() as high}}:
                    line += f", 95 % interval of the run's steps {low:.4g} to {high:.4g}"
            line = f"{line.rstrip()} {in_words(record)}"
            echo(line.rstrip(), keep="")
    echo()
    values = {
        key: dict(sorted(value.items())) if isinstance(value, dict) else value
        for key, value in record.model_dump().items()
        if value is not None
    }
    click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _cells(entry: "Entry") -> list[str]:
    interval = "-"
    if entry.throughput and entry.low is not None and entry.high is not None:
        interval = f"±{(entry.high - entry.low) / 2 / entry.throughput:.1%}"
    figure = "-" if entry.throughput is None else f"{entry.throughput:.4g}"
    if entry.unit not in (None, "img/s"):
        figure += f" {entry.unit}"
    if entry.throughput is not None and entry.throughput_of == LAUNCH_SH:
        figure += f" {LAUNCH_SH}"
    elif entry.data_source in ("cached", "resident", "synthetic"):
        figure += f" {entry.data_source}"
    if entry.statistics == 1:
        figure += f", {FIRST_RULE}"
    losses = "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else str(value)
        for name, value in (entry.metrics if isinstance(entry.metrics, dict) else {}).items()
        if not isinstance(value, dict)
    )
    return [
        str(entry.id),
        _minute(entry.ran),
        or_dash(entry.model),
        or_dash(entry.batch_size),
        or_dash(entry.dev_num),
        or_dash(entry.device),
        or_dash(entry.precision),
        figure + ("" if entry.steady in (None, True) else " unsteady"),
        interval,
        or_dash(entry.run_id),
        losses,
    ]


def _plain(entry: "Entry") -> dict[str, Any]:
    times = {"ran": entry.ran, "stored": entry.stored}
    return asdict(entry) | {name: time.isoformat() if time else None for name, time in times.items()}


def _minute(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d %H:%M") if when else "-"
