"""How far apart runs of one recipe lie that differ in their seed alone: standard deviations, as shares of a loss.

The reference is one run, and one run does not show it. So it was measured on scaled-down runs (docs/convergence.md;
`benchmarks/convergence.py` prints these figures), and is an assumption for runs of full size. Several runs in a
reference or under judgement are pooled with it.
"""

from __future__ import annotations

# What the assumption weighs against runs of one's own, and how well it is known.
DEGREES_OF_FREEDOM = 8.0  # two groups of five runs

WINDOW = {"G_GAN": 0.066, "G_L1": 0.015, "D_real": 0.093, "D_fake": 0.096}  # of the mean over a window of epochs
LAST_EPOCH = WINDOW
QUALITY = {"MAE": 0.024, "PSNR": 0.015}
