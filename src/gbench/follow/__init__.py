"""Live views of a convergence run, in a process of their own: visdom, TensorBoard, losses.svg.

In: a growing run folder. Out: plots. Whatever fails here, the run goes on.
"""
