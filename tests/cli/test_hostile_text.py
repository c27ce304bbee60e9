"""Control characters and very long values of files and names reach a terminal as short printable text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import PLAIN
from gbench.base.paths import project_file
from gbench.settings.spec import RunSpec
from run_folders import write_run

ESCAPE = "\x1b[31m\x07\x9b"
LONG = "x" * 20_000
LAUNCH = ["launch", "pix2pix_resnet_9blocks", 1, 1, "FP32"]


def files(folder: Path, text: str) -> None:
    """Files of every kind with `text` as a key, a value and, if it is short, in their names."""
    named = text if len(text) < 100 else "long"
    (folder / f"r{named}.yaml").write_text(yaml.safe_dump({**PLAIN, text: 1}))
    (folder / "r.yaml").write_text(yaml.safe_dump({**PLAIN, "batch_size": text}))
    (folder / "spec.yaml").write_text(yaml.safe_dump({"model": "m", text: 1}))
    (folder / "models").mkdir()
    model = yaml.safe_load(project_file("configs/pix2pix_resnet_9blocks.yaml").read_text())
    (folder / "models" / f"m{named}.yaml").write_text(yaml.safe_dump({**model, "description": text}))
    (folder / "bad-models").mkdir()
    (folder / "bad-models" / f"m{named}.yaml").write_text(yaml.safe_dump({**model, text: 1}))


@pytest.mark.parametrize("text", [ESCAPE, LONG], ids=["escape", "long"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["cndb", "verify", "r{named}.yaml"],
        ["cndb", "import", "r.yaml"],
        ["compare", "r{named}.yaml", "r.yaml"],
        ["replay", "r.yaml"],
        ["predict", "r.yaml", "--nodes", "2"],
        ["ab", "spec.yaml", "spec.yaml"],
        ["sweep", "spec.yaml"],
        ["models", "--config", "models"],
        ["models", "--config", "bad-models"],
        [*LAUNCH, "--set", "network.ngf={text}"],
        [*LAUNCH, "--set", "{text}=1"],
        [*LAUNCH, "--precision-of", "{text}"],
        [*LAUNCH[:4], "{text}"],
        [*LAUNCH[:3], "{text}", "FP32"],
        ["{text}"],
        ["report", "{text}"],
        ["summary", "{text}"],
    ],
    ids=str,
)
def test_hostile_text(gbench: Callable[..., Answer], tmp_path: Path, text: str, arguments: list[object]) -> None:
    files(tmp_path, text)
    named = text if len(text) < 100 else "long"
    answer = gbench(*(str(one).format(text=text, named=named) for one in arguments))
    listed = arguments[-1] == "models"
    assert answer.code == 0 if listed else answer.code in (1, 2, 4), answer.err
    said = answer.out + answer.err
    assert all(one.isprintable() for one in said.replace("\n", "")), said
    assert len(said) < 3000 or listed


def test_names_of_files_in_notes_and_warnings(
    gbench: Callable[..., Answer], make_spec: Callable[..., RunSpec], tmp_path: Path
) -> None:
    runs = [write_run(make_spec()).path.rename(tmp_path / f"{name}{ESCAPE}") for name in "ab"]
    for run in runs:
        (run / "telemetry.jsonl").symlink_to("nowhere")
    (tmp_path / "cndb" / "spool").mkdir(parents=True)
    (tmp_path / "cndb" / "spool" / f"r{ESCAPE}.json").write_text("{")
    for arguments in (["summary", runs[0]], ["compare", *runs], ["cndb", "submit", "--pending"]):
        answer = gbench(*arguments, CNDB_DIR=str(tmp_path / "cndb"))
        said = answer.out + answer.err
        assert "\\x1b[31m" in said and all(one.isprintable() for one in said.replace("\n", "")), said


def test_a_password_in_an_address_is_said_and_kept_nowhere(
    gbench: Callable[..., Answer], small_launch: list[str], tmp_path: Path
) -> None:
    there = "http://me:secret@localhost:1"
    assert "http://***@localhost:1/a" in gbench("data", "prepare", "facades", "--url", f"{there}/a").err
    refused = gbench(*LAUNCH, *small_launch, "--code-link", f"{there}/code/blob/0123abc/x.py")
    assert (refused.code, "secret" in refused.err) == (2, False), refused.err
    arguments = ["--steps", 2, "--warmup", 1, "--run-model-file", "mine.sh", "--env", f"SERVER={there}"]
    (tmp_path / "mine.sh").write_text("false\n")
    assert gbench(*LAUNCH, *small_launch, *arguments).code == 1
    (run,) = (tmp_path / "results").iterdir()
    assert "SERVER=http://***@localhost:1" in (run / "spec.json").read_text()
