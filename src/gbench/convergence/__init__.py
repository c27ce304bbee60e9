"""Did a run reproduce a reference? Loss curves and image metrics, judged with their tolerance.

In: run folders, upstream's logs, evaluations. Out: a verdict. Starts nothing and imports no torch.
"""
