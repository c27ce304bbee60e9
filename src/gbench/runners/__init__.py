"""A run script, started in a container or on this host, and never left behind.

In: a plan (`plan.py`): command, environment, mounts. Out: log lines and an exit status. Another engine is another
module here with the same `Runner` interface.
"""
