"""What the ranks of a smoke test found -> one finding a part, which names the GPUs that failed."""

from collections.abc import Mapping, Sequence

from gbench.machine.gpus import Gpu
from gbench.preflight.rule import Finding, merge, worst
from gbench.preflight.smoke_rules import RUN
from gbench.runfolder.gpu_findings import GpuFindings


def smoke_verdict(
    gpus: Sequence[Gpu], ranks: Sequence[GpuFindings | None], ended: str, blamed: Mapping[int, str], begins: bool
) -> dict[str, Finding]:
    """The findings by part, and unless a part failed RUN, of the test as a whole.

    Args:
        gpus: of each rank, should it not say.
        ranks: the findings of each; None: it wrote none.
        ended: how the test ended.
        blamed: why a rank ended, if that ended the others. Empty: all without an end are to blame.
        begins: whether ranks without any findings are a failure: not that of an image without a smoke test.
    """
    of_part: dict[str, list[tuple[Gpu, Finding]]] = {}
    open_ends = []
    for rank, findings in enumerate(ranks):
        gpu = _gpu(gpus, rank, findings)
        for one in findings.findings if findings else ():
            of_part.setdefault(one.part, []).append((gpu, Finding(one.severity, one.found)))
        if (findings is None or findings.doing) and (rank in blamed or not blamed):
            where = f"in the part {findings.doing}" if findings else "at the start"
            open_ends.append((gpu, Finding("error", f"{blamed.get(rank, ended)}, {where}")))
    verdict = {part: _of_all(found) for part, found in of_part.items()}
    if any(one.severity == "error" for one in verdict.values()):
        return verdict
    whole = _of_all(open_ends) if open_ends else Finding("ok", f"done on {len(ranks)} GPU(s)")
    if not begins and not any(ranks):
        whole = Finding("warning", f"not done, as the worker of the image did not begin it ({ended})")
    return {RUN: whole, **verdict}


def _gpu(gpus: Sequence[Gpu], rank: int, findings: GpuFindings | None) -> Gpu:
    """The GPU of a rank: by its UUID, as the devices of a container may have another order."""
    return next((gpu for gpu in gpus if findings and gpu.uuid.endswith(findings.uuid)), gpus[rank])


def _of_all(found: list[tuple[Gpu, Finding]]) -> Finding:
    """One finding of all GPUs, with name and UUID of those that failed."""
    bad = [(gpu, one) for gpu, one in found if one.severity != "ok"]
    if not bad:
        return merge([(gpu.index, one) for gpu, one in found])
    text = "; ".join(f"GPU {gpu.index} ({gpu.name}, {gpu.uuid}): {one.found}" for gpu, one in bad)
    return Finding(worst(one.severity for _, one in bad), text)
