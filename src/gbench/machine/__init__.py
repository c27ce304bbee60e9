"""Facts about this machine and gbench itself: processor, memory, GPUs, driver, software versions, git commit.

In: the system. Out: plain values; an unknown fact is None or "unknown", never a guess.
"""
