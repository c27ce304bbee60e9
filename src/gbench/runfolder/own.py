"""Whose run, sweep or session a folder is: its files may be a stranger's, and name what runs when it is resumed.

`.own` in the folder holds an HMAC of what would run, with a key that only this user can read.
"""

import hmac
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gbench.base.files import open_file, write_atomically
from gbench.base.user_key import keyed_hash
from gbench.errors import GbenchError
from gbench.settings.spec import RunSpec

NAME = ".own"
WHAT_RUNS = {
    *("runner", "run_model_file", "env", "image", "dockerfile", "from_image"),
    *("datasets_dir", "config_dir", "cache_dir", "logs_dir", "cndb_dir", "code_link", "database"),
}
IF_GIVEN = {"slurm", "kubernetes", "network"}  # earlier marks, of runs without them, stay valid


def mark_own(
    folder: Path, specs: Iterable[RunSpec], code: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> None:
    """Mark a folder as this user's. code: the repository and commits, or the images, that the specs don't name.

    Does nothing where the mark or the key can't be written.
    """
    with suppress(OSError, GbenchError):
        write_atomically(folder / NAME, _mark(specs, code, environ))


def is_own(
    folder: Path, specs: Iterable[RunSpec], code: Sequence[str] = (), environ: Mapping[str, str] = os.environ
) -> bool:
    """Whether this user's gbench has marked a folder that runs these specs, of this code."""
    with suppress(OSError, GbenchError), open_file(folder / NAME) as file:
        return hmac.compare_digest(file.read(1000), _mark(specs, code, environ).encode())
    return False


def _mark(specs: Iterable[RunSpec], code: Sequence[str], environ: Mapping[str, str]) -> str:
    text = json.dumps([*(_what_runs(spec) for spec in specs), *code], sort_keys=True)
    return keyed_hash(text, environ)


def _what_runs(spec: RunSpec) -> dict[str, Any]:
    given = spec.model_dump(mode="json", include=IF_GIVEN, exclude_defaults=True)
    return spec.model_dump(mode="json", include=WHAT_RUNS) | given
