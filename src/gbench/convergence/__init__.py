"""Whether runs reproduce a reference: loss curves and image metrics, compared within tolerances.

In: run folders, upstream's logs, evaluations. Out: a verdict. Starts no process and does not import torch.
"""
