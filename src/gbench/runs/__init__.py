"""One run, from a resolved spec to its result: a record, an evaluation, a tuning or a profile.

In: a spec. Out: a closed run folder and its result. Every kind of run has the same steps: prepare, run, close.
"""
