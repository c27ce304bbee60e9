"""What is said of the GPUs of a smoke test that came to no end; tests/fake_gpu runs whole ones."""

from __future__ import annotations

import pytest

from gbench.machine.gpus import Gpu
from gbench.preflight.rule import Finding
from gbench.preflight.smoke_rules import RUN
from gbench.preflight.smoke_verdict import smoke_verdict
from gbench.runfolder.gpu_findings import GpuFinding, GpuFindings

GPUS = [Gpu(index, "H100", f"GPU-{index}{index}", (9, 0)) for index in (2, 3)]
NO_END = "no end after 120 s"


def rank(gpu: int, severity: str = "ok", doing: str | None = None) -> GpuFindings:
    one = GpuFinding.model_validate({"part": "fp32", "severity": severity, "found": "x"})
    return GpuFindings(uuid=f"{gpu}{gpu}", doing=doing, findings=[one])


@pytest.mark.parametrize(
    ("ranks", "ended", "blamed", "begins", "expected"),
    [
        ([rank(2), rank(3)], "", {}, False, {RUN: ("ok", "done on 2 GPU(s)"), "fp32": ("ok", "GPU 2-3: x")}),
        (
            [rank(3), rank(2, "error")],  # the devices of a container have another order
            "",
            {},
            False,
            {"fp32": ("error", "GPU 2 (H100, GPU-22): x")},
        ),
        (
            [rank(2, doing="all-reduce"), rank(3, doing="all-reduce")],
            NO_END,
            {},
            True,
            {
                RUN: (
                    "error",
                    "; ".join(f"GPU {gpu} (H100, GPU-{gpu}{gpu}): {NO_END}, in the part all-reduce" for gpu in (2, 3)),
                ),
                "fp32": ("ok", "GPU 2-3: x"),
            },
        ),
        (
            [rank(2, doing="all-reduce"), rank(3, doing="graph")],
            "exit code 139",
            {1: "ended by signal SIGSEGV"},
            True,
            {
                RUN: ("error", "GPU 3 (H100, GPU-33): ended by signal SIGSEGV, in the part graph"),
                "fp32": ("ok", "GPU 2-3: x"),
            },
        ),
        (
            [None, None],
            "no CUDA",
            {},
            True,
            {
                RUN: (
                    "error",
                    "; ".join(f"GPU {gpu} (H100, GPU-{gpu}{gpu}): no CUDA, at the start" for gpu in (2, 3)),
                )
            },
        ),
        (
            [None, None],
            "exit code 2",
            {},
            False,
            {RUN: ("warning", "not done, as the worker of the image did not begin it (exit code 2)")},
        ),
    ],
    ids=["passes", "fails", "hangs", "killed", "no start", "an image without it"],
)
def test_verdict(
    ranks: list[GpuFindings | None],
    ended: str,
    blamed: dict[int, str],
    begins: bool,
    expected: dict[str, tuple[str, str]],
) -> None:
    found = smoke_verdict(GPUS, ranks, ended, blamed, begins)
    assert found == {part: Finding(*of_it) for part, of_it in expected.items()}  # type: ignore[arg-type]
