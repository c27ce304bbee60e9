"""Pinned baselines: runs to compare later runs with, and who pinned them, when and why.

A file contains the records themselves, so it is valid on every machine, without a database.
"""

import getpass
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from gbench.base.files import entries, is_there, make_folder, write_atomically
from gbench.base.invalid import first_problem
from gbench.base.untrusted import read_yaml
from gbench.base.utc import utc_now
from gbench.cndb.record import Record
from gbench.compare.sides import Run
from gbench.errors import InfrastructureError, RecordError, UsageError
from gbench.settings.model_config import Frozen

FOLDER = "baselines"  # below CNDB_DIR
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Pin(Frozen):
    by: str
    at_utc: str
    reason: str
    runs: list[str]
    """Ids of the pinned runs that have one."""


class Baseline(Frozen):
    version: Literal[1] = 1
    pins: list[Pin] = Field(min_length=1)
    """Newest last."""
    records: list[Record] = Field(min_length=1)
    """The records of the newest pin."""

    def runs(self, name: str) -> list[Run]:
        """Its records as runs. name: of the baseline."""
        return [Run(record, f"baseline:{name} {record.run_id or at}") for at, record in enumerate(self.records, 1)]


@dataclass(frozen=True)
class Baselines:
    cndb_dir: Path

    def path(self, name: str) -> Path:
        """The path of a baseline's file. Raises UsageError: not a valid file name."""
        if NAME.fullmatch(name) is None:
            raise UsageError(f"{name!r} can't name a baseline", "take letters, digits, dots, dashes and underscores")
        return self.cndb_dir / FOLDER / f"{name}.yaml"

    def names(self) -> list[str]:
        return [path.stem for path in entries(self.cndb_dir / FOLDER, "*.yaml")]

    def read(self, name: str) -> Baseline:
        """Read a baseline. Raises UsageError: none has that name; InfrastructureError: its file can't be read."""
        path = self.path(name)
        if not is_there(path):
            known = f"there are {', '.join(self.names())}" if self.names() else "gbench cndb baseline set makes one"
            raise UsageError(f"there is no baseline {name} in {path.parent}", known)
        again = "restore it from version control, or remove it and set it again"
        try:
            return Baseline.model_validate(read_yaml(path, again))
        except RecordError as error:
            raise InfrastructureError(error.what, again) from error
        except ValidationError as error:
            why = f"{path} is not a baseline that this gbench reads ({first_problem(error)})"
            raise InfrastructureError(why, again) from error

    def pin(self, name: str, records: Sequence[Record], reason: str, refresh: bool) -> Baseline:
        """Write a baseline.

        refresh: replace an existing baseline and keep its earlier pins; otherwise create a new one.
        Raises UsageError: the baseline exists without `refresh`, or is missing with it; or the reason is empty.
        """
        if not reason.strip():
            raise UsageError("--reason is empty", "say why later runs are compared with these")
        there = is_there(self.path(name))
        if there and not refresh:
            raise UsageError(f"baseline {name} exists already", f"gbench cndb baseline refresh {name} changes it")
        pins = self.read(name).pins if refresh else []
        runs = [record.run_id for record in records if record.run_id is not None]
        made = Pin(by=_user(), at_utc=utc_now(), reason=reason.strip(), runs=runs)
        baseline = Baseline(pins=[*pins, made], records=list(records))
        make_folder(self.path(name).parent)
        write_atomically(self.path(name), yaml.safe_dump(baseline.model_dump(), sort_keys=False, allow_unicode=True))
        return baseline


def _user() -> str:
    """The user's name, or the number if there is none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"
