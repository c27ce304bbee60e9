"""Facts of this machine and of gbench itself: processor, memory, GPUs, driver, software versions, git commit.

In: the system. Out: plain values; an unknown fact is None or "unknown", never a guess.
"""
