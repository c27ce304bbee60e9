"""Whether this machine is fit to measure on: a table of checks, each with its probe, severity and fix.

In: the spec and the machine. Out: findings, as errors, warnings and facts. Checks change nothing; `fix.py` does.
"""
