"""One finding from a probe of each GPU of the run."""

from __future__ import annotations

from collections.abc import Callable

from gbench.base.cpu_list import ranges
from gbench.preflight.cards import Card
from gbench.preflight.rule import Finding, Look, worst
from gbench.preflight.unreadable import Unreadable


def of_each(probe: Callable[[Card, Look], Finding]) -> Callable[[Look], Finding | None]:
    """A probe of all the cards of the run, out of a probe of one: cards that say the same share one text."""

    def all_of_them(look: Look) -> Finding | None:
        cards = [card for card in look.cards if card.used]
        return merge([(card.gpu.index, _probe_one(probe, card, look)) for card in cards]) if cards else None

    return all_of_them


def _probe_one(probe: Callable[[Card, Look], Finding], card: Card, look: Look) -> Finding:
    try:
        return probe(card, look)
    except Unreadable as reason:
        return Finding("info", str(reason))


def merge(findings: list[tuple[int, Finding]]) -> Finding:
    """One finding out of (GPU index, finding) pairs: the worst severity, all texts, all commands."""
    indices: dict[str, list[int]] = {}
    for index, finding in findings:
        indices.setdefault(finding.found, []).append(index)
    return Finding(
        worst(finding.severity for _, finding in findings),
        "; ".join(f"GPU {ranges(sorted(of))}: {text}" for text, of in indices.items()),
        "; ".join(dict.fromkeys(finding.mend for _, finding in findings if finding.mend)),
        tuple(command for _, finding in findings for command in finding.commands),
    )
