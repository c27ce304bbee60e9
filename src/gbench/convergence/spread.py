"""How far apart runs of one recipe lie that differ in their seed alone.

Relative standard deviations, MEASURED_ON_SCALED_DOWN
"""

from __future__ import annotations

DEGREES_OF_FREEDOM = 10.0

WINDOW = {"G_GAN": 0.05, "G_L1": 0.02, "D_real": 0.15, "D_fake": 0.15}  # of the mean over a window of epochs
LAST_EPOCH = {"G_GAN": 0.05, "G_L1": 0.02, "D_real": 0.15, "D_fake": 0.15}
QUALITY = {"MAE": 0.02, "PSNR": 0.01}
