from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gbench.errors import InfrastructureError, UsageError
from gbench.machine import provenance
from gbench.machine.git import git
from gbench.runs import prepare
from gbench.settings.spec import RunSpec


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another repository, with one commit and a changed file."""
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=other"]
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "--quiet"], ["add", "file"], commit):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


def test_a_hook_of_another_repository(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git hook has GIT_DIR, GIT_WORK_TREE and others set: the record still has gbench's own commit."""
    checkout = Path(__file__).resolve().parents[2]
    own = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    found = provenance.git()
    assert found is not None and found["commit"] == own
    assert git(checkout, "rev-parse", "HEAD") == own


def test_git_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="git rev-parse failed: fatal: not a git repository"):
        git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="git is not installed"):
        git(tmp_path, "rev-parse", "HEAD")


def test_a_run_without_its_commit_says_so(
    make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    prepared = prepare.prepare(make_spec(), {})
    assert prepared.git is None
    assert any("the record has no commit" in warning for warning in prepared.warnings)
