"""From raw samples to figures: clocks, telemetry, steady state, intervals, bounds of the device.

In: samples and a run folder. Out: figures with their spread. Knows nothing of pix2pix, Docker or databases.
"""
