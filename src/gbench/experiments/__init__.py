"""Several runs, one answer: two alternating specs, a rerun of a record, a matrix.

In: specs or records. Out: a session that survives a stop. Runs are started by `runs.launch` and judged by `compare`.
"""
