"""Run the command line as a user does: in a separate process, or in this one, which saves a second of start-up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from unittest import mock

from support import Answer

from gbench.cli import main

HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # by Python's own default


def in_a_process(arguments: tuple[object, ...], folder: Path, variables: dict[str, str], timeout_s: float) -> Answer:
    """Run `python -m gbench ARGUMENTS` in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "gbench", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def in_this_process(arguments: tuple[object, ...], folder: Path, variables: dict[str, str]) -> Answer:
    """Run `gbench ARGUMENTS` in a folder; its child processes inherit the captured output."""
    before = Path.cwd()
    with (
        mock.patch.dict(os.environ, variables),
        mock.patch.object(sys, "argv", ["gbench", *map(str, arguments)]),
        _printed_warnings(),
        _captured(1, "stdout") as out,
        _captured(2, "stderr") as err,
    ):
        os.chdir(folder)
        try:
            main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code
        finally:
            os.chdir(before)
            sys.stdout.flush()
            sys.stderr.flush()
        said = [_content(file) for file in (out, err)]
    return Answer(int(code or 0), *said)


@contextlib.contextmanager
def _captured(descriptor: int, stream: str) -> Iterator[IO[bytes]]:
    """Redirect a descriptor and the stream with this name to a file."""
    kept = os.dup(descriptor)
    with (
        tempfile.TemporaryFile() as file,
        open(descriptor, "w", encoding="utf-8", closefd=False) as text,
        mock.patch.object(sys, stream, text),
    ):
        os.dup2(file.fileno(), descriptor)
        try:
            yield file
        finally:
            text.flush()
            os.dup2(kept, descriptor)
            os.close(kept)


@contextlib.contextmanager
def _printed_warnings() -> Iterator[None]:
    """Send Python's warnings to stderr, as outside pytest."""

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in HIDDEN:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
