"""Compare a clone's files with a commit by git's own hashes.

Only the commit's objects are read. The index, config, attributes and ignore rules in `.git` may be a stranger's: they
can hide changes, and name commands that git would run on each file.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from dulwich.ignore import IgnoreFilter
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.repo import Repo

from gbench.base.files import open_file

IGNORE_FILE = ".gitignore"  # the commit's; what other rules would ignore is new


def changed_files(repo: Repo, folder: Path, head: ObjectID) -> list[str]:
    """The files that are changed, missing or new, sorted. Raises ValueError, KeyError: an object is damaged or missing.

    A new file that `.gitignore` names is none of them, nor is `__pycache__`, which `watch.py` does not read.
    """
    commit = _read(repo, head)
    if not isinstance(commit, Commit):
        raise ValueError(f"object {head.decode()} is no commit")
    known = dict(_files(repo, commit.tree))
    changed = {path for path, (mode, blob) in known.items() if _hash_of(folder / path, mode) != blob}
    as_committed = IGNORE_FILE in known and IGNORE_FILE not in changed
    rules = IgnoreFilter.from_path(folder / IGNORE_FILE) if as_committed else IgnoreFilter(())
    return sorted({*changed, *_new(folder, "", known, rules, ignored=False)})


def _read(repo: Repo, name: ObjectID) -> ShaFile:
    """An object of the repository. Raises KeyError: it is missing; ValueError: its content has another hash."""
    found = ShaFile.from_raw_string(*repo.object_store.get_raw(name))
    if found.id != name:
        raise ValueError(f"object {name.decode()} has the content of another")
    return found


def _files(repo: Repo, name: ObjectID, place: str = "") -> Iterator[tuple[str, tuple[int, bytes]]]:
    """The files of a tree: path -> mode and hash."""
    tree = _read(repo, name)
    for entry in tree.iteritems() if isinstance(tree, Tree) else ():
        path = f"{place}{os.fsdecode(entry.path)}"
        if stat.S_ISDIR(entry.mode):
            yield from _files(repo, entry.sha, f"{path}/")
        else:
            yield path, (entry.mode, entry.sha)


def _hash_of(path: Path, mode: int) -> bytes | None:
    """Git's hash of a file, or of where a link leads; None: it is missing, or of another kind."""
    try:
        if stat.S_ISLNK(mode):
            return Blob.from_string(os.fsencode(path.readlink())).id
        if path.is_symlink():
            return None
        with open_file(path) as file:
            return Blob.from_string(file.read()).id
    except OSError:
        return None


def _new(folder: Path, place: str, known: Collection[str], rules: IgnoreFilter, ignored: bool) -> Iterator[str]:
    """The files below a subfolder that the commit does not have. ignored: whether the subfolder is."""
    for entry in os.scandir(folder / place):
        path = f"{place}{entry.name}"
        if path == ".git" or entry.name == "__pycache__":
            continue
        if entry.is_dir(follow_symlinks=False):
            hidden = ignored or bool(rules.is_ignored(f"{path}/"))
            yield from _new(folder, f"{path}/", known, rules, hidden)
        elif path not in known and not (ignored or rules.is_ignored(path)):
            yield path
