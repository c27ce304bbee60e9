"""Find or clone upstream's code, and check that it is the commit that CODE_LINK names.

Reads git repositories with dulwich, the extra `upstream`: the project's image has no git.
"""

from __future__ import annotations

import io
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gbench.errors import GbenchError, InfrastructureError, UsageError

try:
    from dulwich import porcelain
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, NotGitRepository
    from dulwich.objectspec import parse_commit
    from dulwich.repo import Repo
    from urllib3.exceptions import HTTPError

    from gbench.upstream.tree import changed_files
except ModuleNotFoundError as error:
    raise InfrastructureError(
        f"upstream's code can't be read: dulwich is not installed in {sys.prefix}", "pip install 'gbench[upstream]'"
    ) from error

# https://HOST/OWNER/NAME/blob/COMMIT/FILE as on GitHub; GitLab has /-/ before blob; file:///FOLDER/tree/COMMIT
CODE_LINK = re.compile(r"(?P<repository>.+?)/(?:-/)?(?:blob|tree|commit)/(?P<commit>[0-9a-f]{7,40})(?:/.*)?")
NETWORK_TIMEOUT_S = 30.0
SHOWN = 3  # changed files to name in an error


@dataclass(frozen=True)
class Pinned:
    """A repository at a commit, which may be abbreviated."""

    repository: str
    commit: str

    @classmethod
    def of(cls, code_link: str) -> Pinned:
        """Parse CODE_LINK. Raises UsageError: it names no repository."""
        match = CODE_LINK.fullmatch(code_link)
        if match is None:
            raise UsageError(
                f"CODE_LINK {code_link!r} names no repository to clone",
                "give a link of the form https://HOST/OWNER/NAME/blob/COMMIT/FILE, or file:///FOLDER/tree/COMMIT",
            )
        return cls(match["repository"], match["commit"])

    @property
    def name(self) -> str:
        return self.repository.rstrip("/").rpartition("/")[2].removesuffix(".git")


@dataclass(frozen=True)
class Code:
    """A checkout of the right commit, without changes."""

    folder: Path
    commit: str
    """Not abbreviated."""


def find_code(
    pinned: Pinned, upstream_dir: str | None, datasets_dir: Path, run_dir: Path, say: Callable[[str], None]
) -> Code:
    """Upstream's code: the clone that UPSTREAM_DIR names, else the one in DATASETS_DIR, else a new one in `run_dir`.

    Raises:
        UsageError: the clone is not at the commit, or has changes.
        InfrastructureError: there is no clone and making one failed, or it is not upstream's.
    """
    in_datasets = datasets_dir / pinned.name
    if upstream_dir:
        folder, named = Path(upstream_dir).absolute(), "UPSTREAM_DIR"  # relative to the run folder, this process's own
    elif in_datasets.is_dir():
        folder, named = in_datasets, "the clone in DATASETS_DIR,"
    else:
        folder, named = run_dir / "upstream", "the new clone"
        say(f"cloning {pinned.repository} at {pinned.commit}")
        _clone(pinned, folder)
    return _checked(folder, pinned, f"{named} {folder}")


def _clone(pinned: Pinned, folder: Path) -> None:
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)  # of each read and write, not of the whole clone
    try:
        with porcelain.clone(pinned.repository, str(folder), checkout=False, errstream=io.BytesIO()) as repo:
            try:
                commit = parse_commit(repo, pinned.commit)
            except KeyError as error:
                raise UsageError(f"{pinned.repository} has no commit {pinned.commit}", "fix CODE_LINK") from error
            porcelain.reset(repo, "hard", commit)
    except (KeyError, OSError, ValueError, HTTPError, HTTPUnauthorized, GitProtocolError, NotGitRepository) as error:
        raise InfrastructureError(
            f"{pinned.repository} can't be cloned ({_why(error)})",
            f"clone it elsewhere, and name the clone in UPSTREAM_DIR or put it into DATASETS_DIR as {pinned.name}",
        ) from error
    finally:
        socket.setdefaulttimeout(None)


def _why(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"object {text} is missing there" if isinstance(error, KeyError) else text


def _checked(folder: Path, pinned: Pinned, which: str) -> Code:
    again = f"clone {pinned.repository} there, its history included"
    try:
        return _as_pinned(folder, pinned, which)
    except GbenchError:
        raise
    except NotGitRepository as error:
        raise InfrastructureError(f"{which} is no git repository", again) from error
    except Exception as error:  # dulwich raises exceptions without a common class for a broken file
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise InfrastructureError(f"{which} is a broken clone, or can't be read ({why})", again) from error


def _as_pinned(folder: Path, pinned: Pinned, which: str) -> Code:
    """Check a clone against the commit. Raises as `find_code`, and dulwich's exceptions for a broken clone."""
    with Repo(str(folder)) as repo:
        try:
            head = repo.head().decode()
        except KeyError:
            head = "no commit"
        if not head.startswith(pinned.commit):
            raise UsageError(
                f"{which} is at {head}, CODE_LINK names {pinned.commit}",
                f"git -C {folder} checkout {pinned.commit}, or fix CODE_LINK",
            )
        changed = changed_files(repo, folder, repo.head())
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise UsageError(
            f"{which} has changes ({', '.join(changed[:SHOWN])}{more})",
            f"git -C {folder} stash --include-untracked, or take a clone without them",
        )
    if not (folder / "train.py").is_file():
        raise InfrastructureError(f"{which} has no train.py", "give a clone of pytorch-CycleGAN-and-pix2pix")
    return Code(folder, head)
