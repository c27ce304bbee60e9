"""Is this machine fit to measure on? A table of checks, each with its probe, severity and hint.

In: the spec and the machine. Out: findings, as errors, warnings and facts. Checks change nothing; `fix.py` does.
"""
