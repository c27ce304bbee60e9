"""Roofline plot of a run (Williams, Waterman, Patterson 2009)."""

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator

from gbench.reports.svg import INK, MUTED, SERIES, Plot, captioned, figure
from gbench.reports.text import flops, four
from gbench.runfolder.environment_facts import PeakFacts


def roofline(tflop_s: float, gb_s: float, peak: PeakFacts) -> Plot:
    """Operations per second against operations per byte, for one device. peak: measured on the run's device."""
    roof, slope = peak.tflop_s, peak.copy_gb_s
    intensity, ridge = 1e3 * tflop_s / gb_s, 1e3 * roof / slope  # operations per byte
    x = np.geomspace(min(intensity, ridge) / 8, max(intensity, ridge) * 8, 200)
    with figure(2.9) as drawn:
        axes = drawn.subplots()
        axes.plot(x, np.minimum(roof, slope * x / 1e3), color=INK)
        lower = min(peak.gemm_tflop_s, peak.conv_tflop_s)
        axes.plot([1e3 * lower / slope, x[-1]], [lower, lower], color=MUTED, linestyle="--")
        names = ("matrix product", "convolution")
        upper_name, lower_name = names if peak.gemm_tflop_s >= peak.conv_tflop_s else names[::-1]
        axes.annotate(upper_name, (x[-1], roof), (0, 3), textcoords="offset points", ha="right")
        axes.annotate(lower_name, (x[-1], lower), (0, -10), textcoords="offset points", ha="right", color=MUTED)
        axes.annotate(f"copy {four(slope)} GB/s", (x[0], slope * x[0] / 1e3), (8, 0), textcoords="offset points")
        axes.plot(intensity, tflop_s, "D", color=SERIES[0], markersize=7)
        axes.annotate(
            f"this run {flops(tflop_s)}", (intensity, tflop_s), (0, -13), textcoords="offset points", ha="center"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(bottom=min(tflop_s, slope * x[0] / 1e3) / 2.5, top=roof * 2)
        for side in (axes.xaxis, axes.yaxis):
            side.set_major_locator(LogLocator(10, numticks=6))
            side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            side.set_minor_locator(LogLocator(10, subs=(), numticks=1))
        axes.set_xlabel("operations a byte moved")
        axes.set_ylabel("TFLOP/s")
        caption = (
            f"This run did {flops(tflop_s)} at {four(intensity)} operations a byte; measured on this device: "
            f"{flops(roof)} by {upper_name}, {flops(lower)} by {lower_name}, {four(slope)} GB/s by copy. Bytes are "
            "those of operations that are not fused, so more than really went to memory."
        )
        return captioned(drawn, "roofline", "Roofline plot", caption)
