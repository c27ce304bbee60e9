"""Finding upstream's code, and checking it against CODE_LINK; with real git repositories."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_upstream import draw, git
from gbench.errors import InfrastructureError, UsageError
from gbench.upstream.source import Code, Pinned, find_code

Find = Callable[..., Code]
HOST = "https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix"
COMMIT = "003efc4c8819de47ff11b5a0af7ba09aee7f5fc1"


@pytest.fixture
def find(tmp_path: Path) -> Find:
    def call(pinned: Pinned, upstream_dir: Path | None = None, datasets_dir: Path | None = None) -> Code:
        given = str(upstream_dir) if upstream_dir else None
        return find_code(pinned, given, datasets_dir or tmp_path / "data", tmp_path / "run", lambda text: None)

    (tmp_path / "run").mkdir()
    return call


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the name of upstream's repository."""
    draw(tmp_path / "elsewhere" / "pytorch-CycleGAN-and-pix2pix")
    return tmp_path / "elsewhere" / "pytorch-CycleGAN-and-pix2pix"


@pytest.mark.parametrize(
    ("link", "repository"),
    [
        (f"{HOST}/blob/{COMMIT}/models/networks.py", HOST),
        (f"{HOST}/tree/{COMMIT}", HOST),
        (f"{HOST}/commit/{COMMIT}", HOST),
        (f"https://example.org/group/pix2pix.git/-/blob/{COMMIT}/train.py", "https://example.org/group/pix2pix.git"),
        (f"file:///srv/blob/pix2pix/tree/{COMMIT}", "file:///srv/blob/pix2pix"),
    ],
)
def test_a_code_link_names_a_repository_and_a_commit(link: str, repository: str) -> None:
    assert Pinned.of(link) == Pinned(repository, COMMIT)


def test_a_code_link_without_a_repository_is_refused() -> None:
    with pytest.raises(UsageError, match="names no repository to clone"):
        Pinned.of(f"https://example.org/{COMMIT}.tar.gz")


def test_a_clone_is_taken_where_it_is_and_left_as_it_is(find: Find, clone: Path) -> None:
    head = git(clone, "rev-parse", "HEAD")
    before = sorted((path, path.stat().st_mtime_ns) for path in clone.rglob("*"))
    assert find(Pinned(HOST, head[:8]), clone) == Code(clone, head)
    assert sorted((path, path.stat().st_mtime_ns) for path in clone.rglob("*")) == before


def test_the_default_clone_is_next_to_the_dataset(find: Find, clone: Path) -> None:
    head = git(clone, "rev-parse", "HEAD")
    assert find(Pinned(HOST, head), datasets_dir=clone.parent).folder == clone


def test_without_any_clone_one_is_made_at_the_commit(find: Find, clone: Path, tmp_path: Path) -> None:
    first = git(clone, "rev-parse", "HEAD")
    (clone / "later.py").touch()
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "later")
    found = find(Pinned(clone.as_uri(), first))
    assert found == Code(tmp_path / "run" / "upstream", first)
    assert (found.folder / "train.py").is_file() and not (found.folder / "later.py").exists()


def test_another_commit_is_refused(find: Find, clone: Path) -> None:
    with pytest.raises(UsageError, match=f"is at {git(clone, 'rev-parse', 'HEAD')}, CODE_LINK names {COMMIT}"):
        find(Pinned(HOST, COMMIT), clone)


@pytest.mark.parametrize("how", ["changed", "staged", "new"])
def test_a_clone_with_changes_is_refused(find: Find, clone: Path, how: str) -> None:
    head = git(clone, "rev-parse", "HEAD")
    (clone / ("torch.py" if how == "new" else "train.py")).write_text("x = 1\n")
    if how == "staged":
        git(clone, "add", ".")
    with pytest.raises(UsageError, match=r"has changes \((train|torch)\.py\)"):
        find(Pinned(HOST, head), clone)


def test_what_gitignore_names_is_no_change(find: Find, clone: Path) -> None:
    (clone / ".gitignore").write_text("datasets/\n")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "ignore")
    (clone / "datasets").mkdir()
    (clone / "datasets" / "1.jpg").touch()
    assert find(Pinned(HOST, git(clone, "rev-parse", "HEAD")), clone).folder == clone


def test_a_folder_that_is_no_clone_is_refused(find: Find, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InfrastructureError, match=f"UPSTREAM_DIR {folder} is no git repository"):
            find(Pinned(HOST, COMMIT), folder)


@pytest.mark.parametrize("how", ["excluded", "skipped", "ignored by a changed file"])
def test_what_git_would_not_say_is_a_change_too(find: Find, clone: Path, how: str) -> None:
    """A stranger's index, or ignore rules that are not the commit's."""
    head = git(clone, "rev-parse", "HEAD")
    if how == "skipped":
        git(clone, "update-index", "--skip-worktree", "train.py")
        (clone / "train.py").write_text("x = 1\n")
    else:
        rules = clone / (".git/info/exclude" if how == "excluded" else ".gitignore")
        rules.parent.mkdir(exist_ok=True)
        rules.write_text("*\n")
        (clone / "dominate.py").touch()
    assert git(clone, "status", "--porcelain") == ""
    with pytest.raises(UsageError, match=r"has changes \((train|dominate|\.gitignore, dominate)(\.py)?\)"):
        find(Pinned(HOST, head), clone)


def test_no_command_of_the_clones_config_runs(find: Find, clone: Path, tmp_path: Path) -> None:
    head = git(clone, "rev-parse", "HEAD")
    git(clone, "config", "filter.a.clean", f"sh -c 'touch {tmp_path}/executed; cat'")
    (clone / ".git" / "info").mkdir(exist_ok=True)
    (clone / ".git" / "info" / "attributes").write_text("* filter=a\n")
    os.utime(clone / "train.py", (0, 0))
    assert find(Pinned(HOST, head), clone).commit == head
    assert not (tmp_path / "executed").exists()


def test_an_object_with_the_content_of_another_is_refused(find: Find, clone: Path) -> None:
    head, tree = git(clone, "rev-parse", "HEAD"), git(clone, "rev-parse", "HEAD:")
    forged = clone / ".git" / "objects" / tree[:2] / tree[2:]
    forged.chmod(0o644)
    forged.write_bytes(zlib.compress(b"tree 0\0"))
    with pytest.raises(InfrastructureError, match=f"object {tree} has the content of another"):
        find(Pinned(HOST, head), clone)


@pytest.mark.parametrize("broken", ["config", "object"])
def test_a_clone_that_is_broken_is_one_sentence(find: Find, clone: Path, broken: str) -> None:
    head, blob = git(clone, "rev-parse", "HEAD"), git(clone, "rev-parse", "HEAD:options")
    if broken == "config":
        (clone / ".git" / "config").write_text("no section\n")
    else:
        (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InfrastructureError, match=f"UPSTREAM_DIR {clone} is a broken clone, or can't be read") as error:
        find(Pinned(HOST, head), clone)
    assert "\n" not in str(error.value)


def test_a_relative_upstream_dir_is_named_with_its_folder(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InfrastructureError, match=f"UPSTREAM_DIR {tmp_path}/here is no git repository"):
        find(Pinned(HOST, COMMIT), Path("here"))


def test_a_clone_of_something_else_is_refused(find: Find, clone: Path) -> None:
    git(clone, "mv", "train.py", "learn.py")
    git(clone, "commit", "--quiet", "--message", "moved")
    with pytest.raises(InfrastructureError, match=r"has no train\.py"):
        find(Pinned(HOST, git(clone, "rev-parse", "HEAD")), clone)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/pix2pix", "file:///nowhere/pix2pix"])
def test_a_repository_that_can_not_be_reached_is_one_sentence(find: Find, url: str) -> None:
    with pytest.raises(InfrastructureError, match=f"^{url} can't be cloned .*name the clone in UPSTREAM_DIR") as error:
        find(Pinned(url, COMMIT))
    assert "\n" not in str(error.value)


def test_a_commit_that_the_repository_does_not_have_is_refused(find: Find, clone: Path) -> None:
    with pytest.raises(UsageError, match=f"has no commit {COMMIT}; fix CODE_LINK"):
        find(Pinned(clone.as_uri(), COMMIT))


def test_an_object_that_is_missing_is_no_missing_commit(find: Find, clone: Path) -> None:
    tree = git(clone, "rev-parse", "HEAD:train.py").strip()
    head = git(clone, "rev-parse", "HEAD")
    (clone / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(InfrastructureError, match="can't be cloned") as error:
        find(Pinned(clone.as_uri(), head))
    assert "has no commit" not in str(error.value) and tree[:7] in str(error.value)
