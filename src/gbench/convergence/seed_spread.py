"""Spread between runs of one recipe that differ only in their seed: standard deviations, as shares of a loss.

A reference of one run does not show it. It was measured on scaled-down runs (docs/convergence.md;
`benchmarks/convergence.py` prints these figures) and is assumed for runs of full size. If the reference or the subjects
have several runs, their spread is pooled with it.
"""

# Weight of the assumed spread when pooled, and its own uncertainty.
DEGREES_OF_FREEDOM = 8.0  # two groups of five runs

WINDOW = {"G_GAN": 0.066, "G_L1": 0.015, "D_real": 0.093, "D_fake": 0.096}  # of the mean over a window of epochs
LAST_EPOCH = WINDOW
QUALITY = {"MAE": 0.024, "PSNR": 0.015}
