"""Baselines as files: what is refused in which words, and what is kept. As commands: cli/test_cndb_baseline.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_records import record
from gbench.compare.baseline import Baselines
from gbench.errors import GbenchError


def refused(folder: Path, act: Callable[[], object]) -> str:
    with pytest.raises(GbenchError) as caught:
        act()
    return f"{int(caught.value.exit_code)} {caught.value}".replace(str(folder), "TMP")


def test_each_refused_baseline_has_its_sentence(tmp_path: Path) -> None:
    baselines, some = Baselines(tmp_path), [record("a")]
    assert refused(tmp_path, lambda: baselines.read("new")) == (
        "2 there is no baseline new in TMP/baselines; gbench cndb baseline set makes one"
    )
    baselines.pin("b", some, "why", refresh=False)
    baselines.pin("a" * 100, some, "why", refresh=False)
    assert refused(tmp_path, lambda: baselines.read("new")) == (
        f"2 there is no baseline new in TMP/baselines; there are {'a' * 100}, b"
    )
    assert refused(tmp_path, lambda: baselines.pin("b", some, "why", refresh=False)) == (
        "2 baseline b exists already; gbench cndb baseline refresh b changes it"
    )
    assert refused(tmp_path, lambda: baselines.pin("b", some, " ", refresh=True)) == (
        "2 --reason is empty; say why later runs are compared with these"
    )
    for name in ("", ".b", "a/b", "a" * 101):
        assert refused(tmp_path, lambda name=name: baselines.path(name)) == (  # type: ignore[misc]
            f"2 {name!r} can't name a baseline; take letters, digits, dots, dashes and underscores"
        )
    baselines.path("b").write_text("pins: []")
    again = "restore it from version control, or remove it and set it again"
    assert refused(tmp_path, lambda: baselines.read("b")).endswith(f"; {again}")


def test_a_baseline_is_kept_as_it_was_given(tmp_path: Path) -> None:
    baselines = Baselines(tmp_path)
    made = baselines.pin("b", [record("a"), record()], " für alle ", refresh=False)
    assert made == baselines.read("b")
    assert (made.pins[0].reason, made.pins[0].runs) == ("für alle", ["a"])
    assert [run.source for run in made.runs("b")] == ["baseline:b a", "baseline:b 2"]
    assert "reason: für alle\n" in baselines.path("b").read_text()  # as a person reads it
