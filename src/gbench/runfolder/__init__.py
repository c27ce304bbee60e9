"""The run folder: the contract between the host, the worker and every later reader of a run.

In: what the host and the worker write. Out: one typed, versioned reader per file. Define a new file of a run here.
"""
