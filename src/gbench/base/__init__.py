"""Helpers for every package: atomic writes, safe reading of untrusted files, paths, CPU lists, the time in UTC.

In: nothing of gbench except its errors. Out: small stateless functions that know nothing about runs.
"""
