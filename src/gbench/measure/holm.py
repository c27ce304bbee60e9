"""Holm's step-down procedure (1979): which of several hypotheses are rejected, at most one in error."""

from collections.abc import Sequence


def holm(chances: Sequence[float], level: float, weights: Sequence[float] | None = None) -> list[bool]:
    """Which hypotheses are rejected; the chance that one of them is true is at most `level`.

    Args:
        chances: the p-value of each.
        weights: the share of `level` of each, above 0; None: the same.
    """
    shares = [1.0] * len(chances) if weights is None else weights
    rejected = [False] * len(chances)
    left = sum(shares)
    for place in sorted(range(len(chances)), key=lambda place: chances[place] / shares[place]):
        if chances[place] > level * shares[place] / left:
            break
        rejected[place] = True
        left -= shares[place]
    return rejected
