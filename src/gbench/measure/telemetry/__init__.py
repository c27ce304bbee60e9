"""Disturbances and energy of a run: a sampler in its own process, and pure functions of its stream.

    sampler_process.py   starts and stops the sampler from a worker; `__main__.py` is the sampler
    loop.py              the sampler's loop; reads gpu_source.py, host_source.py, energy_counters.py
    stream.py            telemetry.jsonl: its types, writer and reader
    disturbance.py, energy.py, usage.py    evaluate the stream over the steps of a run

Nothing here imports torch: the sampler must start fast and use few resources.
"""
