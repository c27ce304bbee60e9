"""A new user's first session, typed for real: from `git clone` to a compared pair of runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gbench.base.paths import checkout_dir

PAGE = Path("docs/first-session.md")


@pytest.fixture
def first_session() -> ModuleType:
    checkout = checkout_dir()
    if checkout is None:
        pytest.skip("only a checkout can be cloned")
    spec = importlib.util.spec_from_file_location("first_session", checkout / "docs" / "first_session.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_whether_its_two_runs_differ(first_session: ModuleType) -> None:
    quiet, busy = ("".join(f"throughput    {rate} img/s end\n" for rate in pair) for pair in ((2.5, 2.3), (1.66, 2.85)))
    assert "note:" not in first_session.page(quiet)
    assert "\nnote: the machine was busy, so the two runs differ by 72%.\n" in first_session.page(busy)
    written = first_session.PAGE.read_text()
    assert first_session.page(re.sub("^    ", "", written[written.index("    $ ") :], flags=re.MULTILINE)) == written


@pytest.mark.slow
def test_the_page_is_what_the_commands_print(first_session: ModuleType, tmp_path: Path) -> None:
    written = first_session.PAGE.read_text()
    assert len(first_session.COMMANDS) <= 6
    said = first_session.session(tmp_path, Path(sys.executable).parent)
    assert first_session.skeleton(first_session.page(said)) == first_session.skeleton(written)
    assert len(list((tmp_path / "gbench" / "cndb" / "records").iterdir())) == 2
