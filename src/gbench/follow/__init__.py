"""Live views of a convergence run, in a separate process: visdom, TensorBoard, losses.svg.

In: a growing run folder. Out: plots. No failure here affects the run.
"""
