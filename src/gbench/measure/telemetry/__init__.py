"""Disturbances and energy of a run: a sampler in its own process, and pure functions of its stream, telemetry.jsonl.

Nothing here imports torch: the sampler must start fast and use few resources.
"""
