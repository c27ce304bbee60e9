"""One finding from a probe of each GPU of the run."""

from __future__ import annotations

from collections.abc import Callable

from gbench.base.cpu_list import ranges
from gbench.preflight.cards import Card
from gbench.preflight.rule import Context, Finding, finding_of, worst


def of_each(probe: Callable[[Card, Context], Finding]) -> Callable[[Context], Finding | None]:
    """Make a probe of all GPUs of the run from a probe of one. GPUs with the same finding share one text."""

    def all_of_them(context: Context) -> Finding | None:
        cards = [card for card in context.cards if card.used]
        findings = [(card.gpu.index, finding) for card in cards if (finding := finding_of(probe, card, context))]
        return merge(findings) if findings else None

    return all_of_them


def merge(findings: list[tuple[int, Finding]]) -> Finding:
    """Merge (GPU index, finding) pairs: the worst severity, all texts, all commands."""
    indices: dict[str, list[int]] = {}
    for index, finding in findings:
        indices.setdefault(finding.found, []).append(index)
    return Finding(
        worst(finding.severity for _, finding in findings),
        "; ".join(f"GPU {ranges(sorted(of))}: {text}" for text, of in indices.items()),
        "; ".join(dict.fromkeys(finding.fix for _, finding in findings if finding.fix)),
        tuple(command for _, finding in findings for command in finding.commands),
    )
