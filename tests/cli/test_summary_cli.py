"""`gbench summary` as a user runs it, on valid and invalid run folders."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from support import Answer

from gbench.runfolder.steps import StepWriter
from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]
MakeSpec = Callable[..., RunSpec]


def test_diverged_losses_are_null_in_json_and_shown_as_they_are(gbench: Gbench, make_spec: MakeSpec) -> None:
    folder = write_run(make_spec(), losses=lambda step: {"G_L1": math.nan, "D_real": 0.5})
    assert gbench("summary", folder.path, "--json").json["losses"] == {"G_L1": None, "D_real": 0.5}
    assert "G_L1 nan  D_real 0.5" in gbench("summary", folder.path).out


@pytest.mark.parametrize(
    ("written", "why"), [((2, 0), "there is no step of rank 1"), ((1, 1), "the run ended in its warm-up")]
)
def test_why_nothing_was_measured_is_said(
    gbench: Gbench, make_spec: MakeSpec, written: tuple[int, int], why: str
) -> None:
    whole = write_run(make_spec(device_count=2), steps=2, warmup=1)
    for rank, steps in enumerate(written):
        kept = list(whole.steps(rank))[:steps]
        (whole.path / f"steps-rank{rank}.jsonl").unlink()
        with StepWriter(whole.path, rank) as writer:
            writer.append(kept)
    answer = gbench("summary", whole.path)
    assert answer.code == 1
    assert answer.err == f"gbench: error: {whole.path} holds no measured step: {why}; read {whole.log}\n"
    with whole.taken():
        running = gbench("summary", whole.path).err
    assert running.startswith(f"gbench: error: {whole.path} is still running, without a measured step yet; follow it: ")


def test_a_step_that_is_missing_is_one_sentence(gbench: Gbench, make_spec: MakeSpec) -> None:
    folder = write_run(make_spec())
    path = folder.path / "steps-rank0.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]))
    answer = gbench("summary", folder.path)
    assert answer.code == 4
    assert answer.err == (
        f"gbench: error: {path} line 6 is broken (step 6 where step 5 should be); restore the file, or measure again\n"
    )
