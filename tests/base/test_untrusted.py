"""Untrusted YAML: every reader takes any text, or refuses it in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import PLAIN

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
