"""What every room may use: files written whole, files from strangers read safely, paths, CPU lists, the time in UTC.

In: nothing of gbench but its errors. Out: small functions without state. Nothing here knows what a run is.
"""
