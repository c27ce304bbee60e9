"""Untrusted YAML: every reader takes any text, or refuses it in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import PLAIN
from gbench.base.files import taken_for
from gbench.base.untrusted import load_yaml, not_yaml

TAGGED = ["!!bool x", "!!timestamp x", '!!int ""', '!!float ""', '!!int "-"', '!!bool ""', "!!bool {=: x}"]
READERS = {
    "a record": ["cndb", "verify", "bad.yaml"],
    "a compared record": ["compare", "bad.yaml", "bad.yaml"],
    "a replayed record": ["replay", "bad.yaml"],
    "a page's record": ["report", "bad.yaml"],
    "a spec file": ["ab", "bad.yaml", "bad.yaml"],
    "a sweep's spec file": ["sweep", "bad.yaml"],
    "a model": ["models", "bad", "--config", "."],
    "a setting": ["launch", "pix2pix_resnet_9blocks", 1, 1, "FP32", "--set", "network.ngf={0}"],
    "a database config": ["cndb", "list", "--db", "bad.yaml"],
    "a baseline": ["cndb", "baseline", "show", "bad"],
    "a reference": ["converge", "--check", "log.txt", "--reference", "bad.yaml"],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("tagged", TAGGED)
def test_a_scalar_that_its_tag_cant_hold(
    gbench: Callable[..., Answer], tmp_path: Path, reader: str, tagged: str
) -> None:
    (tmp_path / "cndb" / "baselines").mkdir(parents=True)
    for path in (tmp_path / "bad.yaml", tmp_path / "cndb" / "baselines" / "bad.yaml"):
        path.write_text(f"model: ok\nbatch_size: {tagged}\n")
    (tmp_path / "log.txt").write_text("")
    answer = gbench(*(str(one).format(tagged) for one in READERS[reader]))
    assert answer.code in (1, 2, 4) and len(answer.err.splitlines()) == 1, answer.err
    assert " is no " in answer.err or reader == "a database config"  # which may hold a password
    assert "line 2" in answer.err or reader == "a setting"


def test_one_bad_file_does_not_stop_an_import(gbench: Callable[..., Answer], tmp_path: Path) -> None:
    for number, text in enumerate([yaml.safe_dump(PLAIN), *TAGGED, yaml.safe_dump({**PLAIN, "batch_size": 7})]):
        (tmp_path / f"{number}.yaml").write_text(text)
    answer = gbench("cndb", "import", *sorted(tmp_path.glob("*.yaml")))
    assert answer.code == 1 and f"2 inserted; {len(TAGGED)} could not be read" in answer.out, answer.err


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: 1\na: 1", "a"),
        ("a: {b: 1, c: {d: 1, d: 2}}", "a.c.d"),
        ("- {b: 1}\n- {b: 1, b: 1}", "b"),
        ("1: a\n1: b", "1"),
        ("x: &x {a: 1, a: 2}\ny: *x", "x.a"),
        ("a: !!bool x\na: 1", "a"),
    ],
)
def test_a_key_twice_is_refused_in_all_yaml(text: str, key: str) -> None:
    with pytest.raises(yaml.YAMLError, match=f"^{key} is there twice") as caught:
        load_yaml(text)
    assert not_yaml("a.yaml", caught.value, "fix") == (
        f"a.yaml line {caught.value.problem_mark.line + 1}: {key} is there twice",  # type: ignore[attr-defined]
        "leave one of the two out",
    )


def test_merged_and_shared_mappings_have_no_key_twice() -> None:
    text = "x: &x {a: 1}\ny: {<<: *x, a: 2}\nz: {<<: *x, b: 3}\nlist: [*x, *x]"
    assert load_yaml(text) == {"x": {"a": 1}, "y": {"a": 2}, "z": {"a": 1, "b": 3}, "list": [{"a": 1}, {"a": 1}]}


def test_what_was_saved_in_place_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, said in (
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b"<html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a pointer of Git LFS"),
        (b"", "the file is empty"),
        (b"PK", ""),
    ):
        path.write_bytes(content)
        assert taken_for(path).startswith(said) and bool(taken_for(path)) == bool(said)
    assert taken_for(tmp_path / "nowhere") == ""
