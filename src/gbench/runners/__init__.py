"""Start a run script in a container or on this host, and never leave a process behind.

In: a plan (`plan.py`): command, environment, mounts. Out: log lines and an exit status. Another engine is another
module here with the same `Runner` interface.
"""
