"""The run folder: the contract between the host, the worker and everyone who reads a run later.

In: what the host and the worker write. Out: one typed, versioned reader a file. A new file of a run starts here.
"""
