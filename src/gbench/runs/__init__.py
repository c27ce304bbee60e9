"""One run, from a resolved spec to what it leaves: a record, an evaluation, a tuning, a profile.

In: a spec. Out: a closed run folder and its result. The steps are `prepare`, run, close, the same for every kind.
"""
