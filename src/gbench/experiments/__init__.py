"""Several runs, one answer: two specs interleaved, a record run again, a matrix.

In: specs or records. Out: a session that survives a stop. Starts runs by `runs.launch`, judges them by `compare`.
"""
