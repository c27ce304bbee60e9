"""Store records: report unreadable ones, store the rest, report the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gbench.cli.shared.output import print_json
from gbench.cli.shared.run_options import PATH
from gbench.errors import ExitCode, GbenchError, RecordError, UsageError

if TYPE_CHECKING:
    from gbench.cndb.database_config import DatabaseConfig
    from gbench.cndb.record import Record
    from gbench.cndb.store import Stored
    from gbench.cndb.upload import Target


cndb_dir_option = click.option("--cndb-dir", type=PATH, help="CNDB folder. Variable: CNDB_DIR.  [default: cndb]")


def cndb_folder(given: Path | None = None) -> Path:
    """The CNDB folder: `given`, else CNDB_DIR, else that of gbench.yaml, else the default."""
    from gbench.settings.defaults import folder_of

    return folder_of("cndb_dir", os.environ, given)


def config_of(db: str, cndb_dir: Path | None = None) -> DatabaseConfig:
    """The database that --db names. Raises UsageError."""
    from gbench.cndb.database_config import find_config

    return find_config(db, cndb_folder(cndb_dir), os.environ)


def results_of(results: Iterable[Record | RecordError]) -> Iterator[Record | RecordError]:
    """The results of one file; an error of the file itself is yielded as a result."""
    try:
        yield from results
    except RecordError as error:
        yield error


def store(
    items: Iterable[Record | RecordError], store_type: str, yes: bool, db: str, cndb_dir: Path | None, as_json: bool
) -> None:
    """Store the readable results and report the counts.

    Exit code 1 if one was unreadable, or its run is stored with other content.
    """
    from gbench.cndb.upload import Target

    target = Target(config_of(db, cndb_dir))
    records: list[Record] = []
    bad = 0
    for item in items:
        if isinstance(item, RecordError):
            click.echo(f"gbench: error: {item}", err=True)
            bad += item.count
        else:
            records.append(item)
    stored: list[Stored] = []
    if records:
        rebuild(target.config, yes)
        stored = target.store(records, store_type)
        _warn(target)
    others = [(record, one) for record, one in zip(records, stored, strict=False) if one.differs]
    for record, one in others:
        what = f"run {record.run_id} is stored as record {one.id} with other content: {', '.join(one.differs)}"
        click.echo(f"gbench: error: {what}; --store-type update overwrites it", err=True)
    actions = ("inserted", "updated", "already there")
    counts = {action: sum(one.action == action for one in stored) for action in actions}
    if as_json:
        print_json({"database": target.config.shown, **counts, "bad": bad, "records": [asdict(one) for one in stored]})
    elif records:
        shown_counts = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
        click.echo(f"{target.config.shown}: {shown_counts}" + (f"; {bad} could not be read" if bad else ""))
    if bad or others:
        click.get_current_context().exit(ExitCode.FAILED)


def rebuild(config: DatabaseConfig, yes: bool) -> None:
    """Drop all tables if the config says so and the user or --yes confirms it. Raises UsageError: nobody confirms."""
    from gbench.cndb.database import connect_or_create, database_errors
    from gbench.cndb.schema import drop_all

    if not config.rebuild:
        return
    if not yes and not (
        sys.stdin.isatty() and click.confirm(f"Drop all records in {config.shown}, as its config says?", err=True)
    ):
        raise UsageError(
            f"database config {config.name} says `rebuild: 1`, which would drop all records in {config.shown}",
            "give --yes to confirm, or set `rebuild: 0`",
        )
    with database_errors(config):
        drop_all(connect_or_create(config))


def send_pending(cndb_dir: Path, as_json: bool) -> None:
    """Send the records in the spool. A database that is down or has a wrong config is tried once, and reported."""
    from gbench.cndb.upload import Target, config_of_run, read_entry, send, waiting

    sent, kept = [], []
    targets: dict[str, Target | None] = {}  # None: its config is wrong
    worst, bug = ExitCode.OK, None
    for path in waiting(cndb_dir):
        try:
            entry = read_entry(path)
            if entry is None:
                continue
            if entry.database not in targets:
                targets[entry.database] = None
                targets[entry.database] = Target(config_of_run(entry.database, cndb_dir, os.environ))
            target = targets[entry.database]
            if target is None or target.down:
                kept.append(path.name)
                continue
            action = send(entry, target)
        except GbenchError as error:
            click.echo(f"gbench: error: {path.name}: {error}", err=True)
            kept.append(path.name)
            worst = max(worst, error.exit_code)
            continue
        except Exception as error:  # of gbench: the other entries are sent before it is raised
            click.echo(f"gbench: error: {path.name}: {type(error).__name__}", err=True)
            kept.append(path.name)
            bug = bug or error
            continue
        sent.append(path.name)
        if not as_json:
            click.echo(f"{path.stem}: {action} in {target.config.shown}")
    for target in targets.values():
        _warn(target)
    if as_json:
        print_json({"sent": sent, "kept": kept})
    else:
        click.echo(f"{len(sent)} sent, {len(kept)} still waiting in {cndb_dir / 'spool'}")
    if bug is not None:
        raise bug
    click.get_current_context().exit(worst)


def _warn(target: Target | None) -> None:
    if target is not None and target.warning is not None:
        click.echo(f"warning: database {target.config.shown}: {target.warning}", err=True)
