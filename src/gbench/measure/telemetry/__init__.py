"""What disturbed a run, and what energy it took: a sampler in a process of its own, and pure functions over its stream.

    sampler_process.py   starts and stops the sampler from a worker; `__main__.py` is the sampler
    loop.py              the sampler's loop; reads gpu_source.py, host_source.py, energy_counters.py
    stream.py            telemetry.jsonl: its types, writer and reader
    disturbance.py, energy.py, usage.py    what the stream says about the steps of a run

Nothing here imports torch: the sampler has to start fast and take little.
"""
