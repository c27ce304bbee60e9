"""Store records: report unreadable ones, store the rest, report the result."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gbench.cli.shared.output import echo, print_json
from gbench.cli.shared.run_options import PATH, bundle, option
from gbench.errors import ExitCode, GbenchError, RecordError, UsageError
from gbench.settings.request import ROWS

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


class DatabaseChoice(NamedTuple):
    """The database that a command line names."""

    db: str | None
    """None: the embedded one."""
    cndb_dir: Path | None = None
    db_timeout_s: float = ROWS["db_timeout_s"].default

    @property
    def config(self) -> DatabaseConfig:
        """Raises UsageError: there is no such config, or it is invalid."""
        from gbench.cndb.database_config import EMBEDDED_NAME, find_config

        found = find_config(self.db or EMBEDDED_NAME, cndb_folder(self.cndb_dir), os.environ)
        return replace(found, deadline_s=self.db_timeout_s)


def database_options(help: str, default: str | None = None) -> Callable[[Any], Any]:
    """The options of a command that reads or writes a database, given to it as one `DatabaseChoice`. help: of --db."""

    def decorate(command: Any) -> Any:
        @wraps(command)
        def called(*given: Any, db: str | None, cndb_dir: Path | None, db_timeout_s: float, **more: Any) -> Any:
            return command(*given, database=DatabaseChoice(db, cndb_dir, db_timeout_s), **more)

        named = click.option("--db", metavar="DATABASE", default=default, help=help)
        return bundle([cndb_dir_option, named, option("db_timeout_s")])(called)

    return decorate


def results_of(results: Iterable[Record | RecordError]) -> Iterator[Record | RecordError]:
    """The results of one file; an error of the file itself is yielded as a result."""
    try:
        yield from results
    except RecordError as error:
        yield error


def store(
    items: Iterable[Record | RecordError], database: DatabaseChoice, store_type: str, yes: bool, as_json: bool
) -> None:
    """Store the readable results and report the counts.

    Exit code 1 if one was unreadable, or its run is stored with other content.
    """
    from gbench.cndb.upload import Target

    target = Target(database.config)
    records: list[Record] = []
    bad = 0
    for item in items:
        if isinstance(item, RecordError):
            echo(f"gbench: error: {item}", err=True)
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
        echo(f"gbench: error: {what}; --store-type update overwrites it", err=True)
    actions = ("inserted", "updated", "already there")
    counts = {action: sum(one.action == action for one in stored) for action in actions}
    if as_json:
        print_json({"database": target.config.shown, **counts, "bad": bad, "records": [asdict(one) for one in stored]})
    elif records:
        shown_counts = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
        echo(f"{target.config.shown}: {shown_counts}" + (f"; {bad} could not be read" if bad else ""))
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


def send_pending(database: DatabaseChoice, as_json: bool) -> None:
    """Send the records in the spool. A database that is down or has a wrong config is tried once, and reported."""
    from gbench.cndb.upload import Target, config_of_run, read_entry, send, waiting

    cndb_dir = cndb_folder(database.cndb_dir)
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
                config = config_of_run(entry.database, cndb_dir, os.environ, database.db_timeout_s)
                targets[entry.database] = Target(config)
            target = targets[entry.database]
            if target is None or target.down:
                kept.append(path.name)
                continue
            action = send(entry, target)
        except GbenchError as error:
            echo(f"gbench: error: {path.name}: {error}", err=True)
            kept.append(path.name)
            worst = max(worst, error.exit_code)
            continue
        except Exception as error:  # of gbench: the other entries are sent before it is raised
            echo(f"gbench: error: {path.name}: {type(error).__name__}", err=True)
            kept.append(path.name)
            bug = bug or error
            continue
        sent.append(path.name)
        if not as_json:
            echo(f"{path.stem}: {action} in {target.config.shown}")
    for target in targets.values():
        _warn(target)
    if as_json:
        print_json({"sent": sent, "kept": kept})
    else:
        echo(f"{len(sent)} sent, {len(kept)} still waiting in {cndb_dir / 'spool'}")
    if bug is not None:
        raise bug
    click.get_current_context().exit(worst)


def _warn(target: Target | None) -> None:
    if target is not None and target.warning is not None:
        echo(f"warning: database {target.config.shown}: {target.warning}", err=True)
